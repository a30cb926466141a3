"""Run a single time step without a loop: the whole graph to If(T == 1, step, loop).

Works in place, on a graph whose names and shapes are those of the signature.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx import AttributeProto, GraphProto
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.signature import Signature
from ..graph import constant_like, defined_by
from .branch import make_one_step

# The names of the If and of its branches; all names inside a branch begin with that branch's.
BRANCHES, _STEP, ANY_LENGTH = "steps", "one_step", "any_length"


def add_single_step(model: ir.Model, signature: Signature, time: str) -> None:
    """Put the whole graph in both branches of an If; the one for one step is without loops and time axis.

    `time` is a dimension of the signature. A `Scan` over anything else stays.
    """
    graph = model.graph
    is_one, condition = _is_one(graph, signature, time)
    nodes, outputs = list(graph), list(graph.outputs)
    graph.outputs.clear()
    graph.remove(nodes)
    results = [ir.Value(name=value.name, type=value.type, shape=value.shape) for value in outputs]
    whole = ir.Graph([], outputs, nodes=nodes, name=ANY_LENGTH)
    step = whole.clone(allow_outer_scope_values=True)
    step.name = _STEP
    make_one_step(step, graph, time, _STEP)
    for branch in (step, whole):
        _rename(branch)
    branches = [ir.AttrGraph("then_branch", step), ir.AttrGraph("else_branch", whole)]
    graph.extend([*condition, ir.Node("", "If", [is_one], branches, outputs=results, name=BRANCHES)])
    graph.outputs.extend(results)
    RemoveUnusedNodesPass()(model)


def _is_one(graph: ir.Graph, signature: Signature, time: str) -> tuple[ir.Value, list[ir.Node]]:
    """Whether T is 1. Other dimensions are dropped first: ONNX Runtime folds Shape only where all are known."""
    name, spec = next(entry for entry in signature.inputs.items() if time in entry[1].symbols)
    value = next(value for value in graph.inputs if value.name == name)
    tape = ir.tape.Tape()
    for axis in reversed(range(len(spec.shape))):
        if spec.shape[axis] != time:
            first = constant_like(graph, f"{_STEP}.first", np.array(0, np.int64))
            value = tape.op("Gather", [value, first], {"axis": axis})
    one = constant_like(graph, f"{_STEP}.single", np.array([1], np.int64))
    return tape.op("Equal", [tape.op("Shape", [value]), one]), list(tape.nodes)


def _rename(branch: ir.Graph) -> None:
    """Make the names inside a branch unique, even those that two bodies share."""
    taken: set[str] = set()
    for node in ir.traversal.RecursiveGraphIterator(branch):
        if node.name:
            node.name = _free(f"{branch.name}.{node.name}", taken)
        for value in defined_by(node):
            if value.name:
                value.name = _free(f"{branch.name}.{value.name}", taken)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def for_any_length(graph: GraphProto) -> GraphProto:
    """The graph with the branch for any length in place of the `If` of `add_single_step`, if it has one."""
    choice = next((node for node in graph.node if node.op_type == "If" and node.name == BRANCHES), None)
    if choice is None:
        return graph
    branch = next(attribute.g for attribute in choice.attribute if attribute.name == "else_branch")
    _drop_prefix(branch)
    whole = GraphProto()
    whole.CopyFrom(graph)
    del whole.node[:]
    whole.node.extend(branch.node)
    return whole


def _drop_prefix(graph: GraphProto) -> None:
    """Give what is in the branch the names it had before, so that its outputs are the file's."""
    for node in graph.node:
        node.name = node.name.removeprefix(f"{ANY_LENGTH}.")
        node.input[:] = [name.removeprefix(f"{ANY_LENGTH}.") for name in node.input]
        node.output[:] = [name.removeprefix(f"{ANY_LENGTH}.") for name in node.output]
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _drop_prefix(attribute.g)
    for value in (*graph.input, *graph.output):
        value.name = value.name.removeprefix(f"{ANY_LENGTH}.")
