"""A choice between an operator and what it stands for, by whether all numbers are finite; in a stream there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..graph import constant_like, numbered, subgraphs
from .regions import Region

# How the name ends of the node that chooses.
IF_FINITE = ".if_finite"


def take_operators(model: ir.Model) -> bool:
    """Put the operator in place of each choice, as a stream has it; returns whether there was one.

    A stream has not read the steps to come, from which an infinite number would spread.
    """
    choices = [node for node in model.graph if node.op_type == "If" and str(node.name).endswith(IF_FINITE)]
    for node in choices:
        branch = node.attributes["then_branch"].as_graph()
        nodes, result = [*branch], branch.outputs[0]
        branch.outputs.clear()
        branch.remove(nodes)
        taken = {str(each.name) for each in model.graph}
        for each in nodes:  # two operators of one module have its name in their branches
            each.name = next(name for name in numbered(str(each.name)) if name not in taken)
            taken.add(each.name)
        model.graph.insert_before(node, nodes)
        name = node.outputs[0].name
        ir.convenience.replace_all_uses_with(node.outputs[0], result, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
        result.name = name
    if choices:
        RemoveUnusedNodesPass()(model)
    return bool(choices)


def are_finite(main: ir.Graph, sources: Sequence[ir.Value], name: str) -> tuple[list[ir.Node], ir.Value]:
    """Whether no element is infinite or NaN: then the sums are not either, unless they overflow."""
    tape = ir.tape.Tape()
    zero = constant_like(main, "number.0", np.array(0, np.float32))
    total: ir.Value | None = None
    for source in sources:
        part = tape.op("Mul", [tape.op("ReduceSum", [source], {"keepdims": 0}), zero])
        total = part if total is None else tape.op("Add", [total, part])
    assert total is not None
    finite = tape.op("Equal", [total, zero])
    for i, node in enumerate(tape.nodes):
        node.name = node.outputs[0].name = f"{name}.finite.{i}"
        node.outputs[0].type = ir.TensorType(ir.DataType.BOOL if node.op_type == "Equal" else ir.DataType.FLOAT)
        node.outputs[0].shape = ir.Shape([])
    return [*tape.nodes], finite


def as_it_was(main: ir.Graph, region: Region) -> ir.Graph:
    """A copy of the region's nodes, which reads the same sequences."""
    copy = main.clone()
    outer = {str(value.name): value for value in _values(main)}
    moved = [new for old, new in zip(main, copy, strict=True) if old in region.nodes]
    made = {value for node in moved for value in node.outputs}
    theirs = {*_values(copy)} - made
    copy.outputs.clear()
    copy.remove(moved)
    output = next(value for value in made if value.name == region.output.name)
    for node in (inner for each in moved for inner in inside(each)):
        for at, value in enumerate(node.inputs):
            if value is not None and value in theirs:
                node.replace_input_with(at, outer[str(value.name)])
        for value in node.outputs:
            value.name = f"{value.name}.as_it_was.{region.output.name}"
        for graph in subgraphs(node):
            for value in graph.inputs:
                value.name = f"{value.name}.as_it_was.{region.output.name}"
    return ir.Graph([], [output], nodes=moved, name=f"{region.output.name}.as_it_was")


def _values(graph: ir.Graph) -> Iterable[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def inside(node: ir.Node) -> Iterator[ir.Node]:
    """A node, and those of its bodies."""
    yield node
    for graph in subgraphs(node):
        yield from ir.traversal.RecursiveGraphIterator(graph)
