"""A product that is split is several products by parts of its matrix: then no step copies what it computed.

Split(x W + b) becomes x W_1 + b_1, x W_2 + b_2, ...: measured in ONNX Runtime 1.32, GRU and LSTM cells of 64 and 256
units with a product per gate take 1 to 18% less time than with one product and a Split, at 1 and at 32 sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import onnx_ir as ir

from .constants import array_of, constant_like
from .emit import made
from .rules import rank

Bounds = Sequence[tuple[int, int]]


def split_matmuls(graph: ir.Graph, main: ir.Graph) -> None:
    """Apply to every Split along the last axis, at places that are known, of a product or a sum with a product."""
    for node in [node for node in graph if node.op_type == "Split" and node.domain == ""]:
        value, bounds = node.inputs[0], _bounds(node)
        if (
            value is None
            or not bounds
            or not _is_partable(value, graph, bounds[-1][1])
            or not _has_product(value, graph)
        ):
            continue
        nodes: list[ir.Node] = []
        parts = _parts(value, graph, main, bounds, nodes)
        for old, new in zip(node.outputs, parts, strict=True):
            new.name, old.name = old.name, None
        graph.insert_before(node, nodes)
        ir.convenience.replace_all_uses_with(node.outputs, parts, replace_graph_outputs=True)
        graph.remove(node, safe=True)


def _bounds(node: ir.Node) -> Bounds:
    """Where each part begins and ends along the last axis; nothing where that is not known, or along another axis."""
    if any(value.shape is None or not value.shape.rank() for value in node.outputs):
        return ()
    widths = [value.shape[-1] for value in node.outputs if value.shape is not None]
    last = rank(node.outputs[0]) - 1
    if node.attributes.get_int("axis", 0) not in (-1, last) or not all(isinstance(width, int) for width in widths):
        return ()
    return [*pairwise(accumulate((int(width) for width in widths), initial=0))]  # type: ignore[arg-type]


def _is_partable(value: ir.Value, graph: ir.Graph, width: int) -> bool:
    """Whether a value is a bias, or computed for the Split alone from a product or a sum of what can be parted."""
    if value.shape is None or not value.shape.rank() or value.shape[-1] != width:
        return False
    if value.is_initializer():
        return rank(value) == 1
    node = value.producer()
    if node is None or node.graph is not graph:
        return value.is_graph_input() and value.graph is graph  # an element of what is split in front of the loop
    alone = len(value.uses()) == 1 and not value.is_graph_output()
    if node.op_type == "MatMul":
        weight = node.inputs[1]
        return alone and weight is not None and weight.is_initializer() and rank(weight) == 2
    return alone and node.op_type == "Add" and all(_is_partable(term, graph, width) for term in node.inputs if term)


def _has_product(value: ir.Value, graph: ir.Graph) -> bool:
    node = value.producer()
    if node is None or node.graph is not graph:
        return False
    return node.op_type == "MatMul" or (
        node.op_type == "Add" and any(_has_product(term, graph) for term in node.inputs if term is not None)
    )


def _parts(
    value: ir.Value, graph: ir.Graph, main: ir.Graph, bounds: Bounds, nodes: list[ir.Node]
) -> Sequence[ir.Value]:
    node = value.producer()
    if value.is_initializer():
        return _constant_parts(value, main, bounds)
    if node is None or node.graph is not graph:
        return _split(value, main, bounds, nodes)
    if node.op_type == "MatMul":
        weight = node.inputs[1]
        assert weight is not None
        operands = [[node.inputs[0], part] for part in _constant_parts(weight, main, bounds)]
    else:
        terms = [_parts(term, graph, main, bounds, nodes) for term in node.inputs if term is not None]
        operands = [[*pair] for pair in zip(*terms, strict=True)]
    made_here = [
        made(node.op_type, given, value, f"{value.name}.{start}_{end}")
        for given, (start, end) in zip(operands, bounds, strict=True)
    ]
    for part, (start, end) in zip(made_here, bounds, strict=True):
        part.outputs[0].shape = ir.Shape([*(value.shape or ())[:-1], end - start])
    nodes += made_here
    return [part.outputs[0] for part in made_here]


def _constant_parts(value: ir.Value, main: ir.Graph, bounds: Bounds) -> Sequence[ir.Value]:
    array = array_of(value)
    assert array is not None
    return [constant_like(main, f"{value.name}.{start}_{end}", array[..., start:end]) for start, end in bounds]


def _split(value: ir.Value, main: ir.Graph, bounds: Bounds, nodes: list[ir.Node]) -> Sequence[ir.Value]:
    sizes = np.array([end - start for start, end in bounds], np.int64)
    given = constant_like(main, "sizes." + "_".join(map(str, sizes)), sizes)
    node = ir.node("Split", [value, given], {"axis": -1}, num_outputs=len(bounds))
    for part, (start, end) in zip(node.outputs, bounds, strict=True):
        part.name, part.type = f"{value.name}.{start}_{end}", value.type
        part.shape = ir.Shape([*(value.shape or ())[:-1], end - start])
    nodes.append(node)
    return node.outputs
