"""Run a single time step without a loop: the whole graph to If(T == 1, step, loop).

Works in place, on a graph whose names and shapes are those of the signature.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx import AttributeProto, GraphProto
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..spec.signature import Signature
from .graph import constant_like, defined_by
from .loops.scan_loop import ScanLoop

# The names of the If and of its branches; all names inside a branch begin with that branch's.
BRANCHES, _STEP, ANY_LENGTH = "steps", "one_step", "any_length"


def add_single_step(model: ir.Model, signature: Signature, time: str) -> None:
    """Put the whole graph in both branches of an If; in the branch for one step, inline each `Scan` over time.

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
    _Unrolling(graph, step, time).run()
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


class _Unrolling:
    """Replaces every Scan over time in a branch by its body, run once."""

    def __init__(self, outer: ir.Graph, branch: ir.Graph, time: str) -> None:
        self._outer = outer
        self._branch = branch
        self._time = time
        self._without: dict[tuple[ir.Value, int], ir.Value] = {}

    def run(self) -> None:
        loops = [ScanLoop(node, self._outer) for node in self._branch if node.op_type == "Scan"]
        for loop in [loop for loop in loops if self._runs_over_time(loop)]:
            self._inline(loop)

    def _runs_over_time(self, loop: ScanLoop) -> bool:
        sequences = [*zip(loop.node.inputs[loop.num_states :], loop.input_axes, strict=True)]
        return bool(sequences) and all(
            value is not None and value.shape is not None and value.shape[axis] == self._time
            for value, axis in sequences
        )

    def _inline(self, loop: ScanLoop) -> None:
        node, body, states = loop.node, loop.body, loop.num_states
        axes, out_axes = loop.input_axes, loop.output_axes
        tape = ir.tape.Tape()
        steps = [
            self._squeezed(tape, _some(value), axis) for value, axis in zip(node.inputs[states:], axes, strict=True)
        ]
        for inner, value in zip(body.inputs, [*node.inputs[:states], *steps], strict=True):
            ir.convenience.replace_all_uses_with(inner, _some(value), replace_graph_outputs=True)
        inside, ends = list(body), list(body.outputs)
        body.outputs.clear()
        body.remove(inside)
        for each in inside:
            each.name = f"{node.name}.{each.name}"
        self._branch.insert_before(node, [*tape.nodes, *inside])
        rows = ir.tape.Tape()
        after = ends[:states] + [
            rows.op("Unsqueeze", [end, self._axis(axis)]) for end, axis in zip(ends[states:], out_axes, strict=True)
        ]
        self._branch.insert_before(node, rows.nodes)
        for old, new in zip(node.outputs, after, strict=True):
            new.type, new.shape = new.type or old.type, new.shape or old.shape
            ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        self._branch.remove(node, safe=True)

    def _squeezed(self, tape: ir.tape.Tape, value: ir.Value, axis: int) -> ir.Value:
        """A value without its time axis, computed from inputs without theirs where each step is by itself."""
        if (value, axis) not in self._without:
            self._without[value, axis] = self._compute(tape, value, axis)
        return self._without[value, axis]

    def _compute(self, tape: ir.tape.Tape, value: ir.Value, axis: int) -> ir.Value:
        node = value.producer()
        if node is not None and node.op_type == "Unsqueeze" and node.inputs[1] is self._axis(axis):
            return _some(node.inputs[0])
        if node is not None and axis == 0 and _is_step_by_step(node):
            return tape.op(node.op_type, [self._squeezed(tape, _some(node.inputs[0]), axis), node.inputs[1]])
        return tape.op("Squeeze", [value, self._axis(axis)])

    def _axis(self, axis: int) -> ir.Value:
        return constant_like(self._outer, f"{_STEP}.axis{axis}", np.array([axis], np.int64))


def _some(value: ir.Value | None) -> ir.Value:
    assert value is not None
    return value


def _is_step_by_step(node: ir.Node) -> bool:
    """Whether a node multiplies [T, N, I] by a matrix or adds a vector to it: each time step by itself."""
    if node.op_type not in ("MatMul", "Add"):
        return False
    (first, second), ranks = map(_some, node.inputs), {"MatMul": (2,), "Add": (0, 1)}
    if first.shape is None or first.shape.rank() != 3 or second.const_value is None:
        return False
    return second.const_value.shape.rank() in ranks[node.op_type]


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
