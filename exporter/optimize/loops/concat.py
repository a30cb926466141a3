"""A product of what is joined from an element and a state is the sum of their products: [x, h] W = x W_x + h W_h."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import onnx_ir as ir

from .constants import array_of, constant_like
from .emit import made, replace
from .loop import Origin, ScanLoop
from .rules import rank


def split_products(loop: ScanLoop) -> None:
    """Apply to every MatMul of a Concat along its last axis by a constant matrix, where a part can leave the loop."""
    origins = loop.origins()
    for node in [node for node in loop.body if node.op_type == "MatMul"]:
        concat, weight = _joined_input(node), node.inputs[1]
        if concat is None or weight is None or not weight.is_initializer() or rank(weight) != 2:
            continue
        groups = _groups(concat.inputs, origins)
        if len(groups) > 1:
            _split(loop, node, groups)


def _joined_input(node: ir.Node) -> ir.Node | None:
    """The Concat that a product takes, if it joins rows whose widths are known."""
    concat = node.inputs[0].producer() if node.inputs[0] is not None else None
    if (
        concat is None
        or concat.op_type != "Concat"
        or any(value is None or value.shape is None for value in concat.inputs)
    ):
        return None
    last = rank(concat.inputs[0]) - 1
    known = all(isinstance(value.shape[-1], int) for value in concat.inputs if value is not None and value.shape)
    return concat if known and concat.attributes["axis"].as_int() in (-1, last) else None


def _groups(parts: Sequence[ir.Value | None], origins: Mapping[ir.Value, Origin]) -> list[list[ir.Value]]:
    """Neighbours that depend on states, and neighbours that do not."""
    given = [part for part in parts if part is not None]
    return [[*group] for _, group in groupby(given, key=lambda part: origins.get(part, Origin.FIXED) is Origin.STATE)]


def _split(loop: ScanLoop, node: ir.Node, groups: Sequence[Sequence[ir.Value]]) -> None:
    weight, result = node.inputs[1], node.outputs[0]
    array = array_of(weight)
    assert weight is not None
    assert array is not None
    nodes: list[ir.Node] = []
    total: ir.Value | None = None
    first = 0
    for group in groups:
        widths = [part.shape[-1] for part in group if part.shape is not None]
        end = first + sum(width for width in widths if isinstance(width, int))
        rows = constant_like(loop.main, f"{weight.name}.{first}_{end}", array[first:end])
        part = group[0]
        if len(group) > 1:
            nodes.append(made("Concat", group, part, f"{result.name}.{first}_{end}.joined", {"axis": -1}))
            part = nodes[-1].outputs[0]
            part.shape = ir.Shape([*(group[0].shape or ())[:-1], end - first])
        nodes.append(made("MatMul", [part, rows], result, f"{result.name}.{first}_{end}"))
        if total is not None:
            nodes.append(made("Add", [total, nodes[-1].outputs[0]], result, f"{result.name}.{end}"))
        total, first = nodes[-1].outputs[0], end
    replace(loop.body, node, nodes)
