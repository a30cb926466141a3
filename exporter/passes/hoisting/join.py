"""Products of one state by several weights become one product by the joined weights, and a Split.

What is added to each is joined too, where it comes from elements: then it is one product in front of the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .constants import add_constant, array_of
from .emit import made
from .loop import Loop, Origin
from .rules import constant_like, rank


@dataclass(frozen=True)
class Branch:
    """One product, the sum that alone reads it, and what is added there."""

    product: ir.Node
    total: ir.Node | None
    addend: ir.Value | None

    @property
    def result(self) -> ir.Value:
        return (self.total or self.product).outputs[0]

    @property
    def width(self) -> int:
        shape = self.result.shape
        assert shape is not None
        return int(shape[-1])  # type: ignore[arg-type]


def join_products(loop: Loop) -> None:
    """Apply to all MatMul nodes of a body that multiply one value, which depends on a state, by constant matrices."""
    origins = loop.origins()
    groups: dict[tuple[ir.Value, str], list[Branch]] = {}
    for node in loop.body:
        left, right = node.inputs if node.op_type == "MatMul" else (None, None)
        if left is None or right is None or origins.get(left) is not Origin.STATE:
            continue
        if right.is_initializer() and rank(right) == 2 and rank(left) == 2:
            branch = _branch(node)
            origin = "" if branch.addend is None else _kind(branch.addend, origins.get(branch.addend, Origin.FIXED))
            groups.setdefault((left, origin), []).append(branch)
    for (left, origin), branches in groups.items():
        if len(branches) > 1 and origin != Origin.STATE.value:
            _join(loop, left, branches)


def _branch(node: ir.Node) -> Branch:
    value = node.outputs[0]
    total = value.consumers()[0] if len(value.uses()) == 1 and not value.is_graph_output() else None
    if total is not None and total.op_type == "Add" and total.graph is node.graph:
        addend = next(term for term in total.inputs if term is not value)
        if addend is not None and total.outputs[0].shape == value.shape and addend.shape is not None:
            return Branch(node, total, addend)
    return Branch(node, None, None)


def _kind(addend: ir.Value, origin: Origin) -> str:
    """What addends must have in common to be joined."""
    if origin is Origin.FIXED:
        return "bias" if addend.is_initializer() and rank(addend) == 1 else Origin.STATE.value
    return origin.value if rank(addend) == 2 else Origin.STATE.value


def _join(loop: Loop, left: ir.Value, branches: Sequence[Branch]) -> None:
    body, like = loop.body, branches[0].result
    addends = [branch.addend for branch in branches if branch.addend is not None]
    if not all(_has_width(addend, branch.width) for addend, branch in zip(addends, branches, strict=False)):
        return
    weights = _joined_constant(loop, [branch.product.inputs[1] for branch in branches], 1)
    nodes = [made("MatMul", [left, weights], like, f"{like.name}.product")]
    joined = [nodes[0]]
    if addends:
        joined.append(made("Add", [nodes[0].outputs[0], _joined(addends, loop, nodes)], like, f"{like.name}.joined"))
        nodes.append(joined[-1])
    for node in joined:
        node.outputs[0].shape = _wider(like, sum(branch.width for branch in branches))
    sizes = constant_like(loop.main, f"{like.name}.sizes", np.array([branch.width for branch in branches], np.int64))
    split = ir.node("Split", [nodes[-1].outputs[0], sizes], {"axis": 1}, num_outputs=len(branches))
    body.insert_before(branches[0].product, [*nodes, split])
    for branch, value in zip(branches, split.outputs, strict=True):
        old = branch.result
        value.type, value.shape, value.name, old.name = old.type, old.shape, old.name, None
        ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
        body.remove([node for node in (branch.total, branch.product) if node is not None], safe=True)
    body.sort()  # what is added may have been computed after the first product


def _has_width(value: ir.Value | None, width: int) -> bool:
    """Whether a value has a row of its own for each, or one for all: it is not broadcast along rows."""
    return value is not None and value.shape is not None and value.shape.rank() > 0 and value.shape[-1] == width


def _wider(value: ir.Value, width: int) -> ir.Shape:
    return ir.Shape([*(value.shape or ())[:-1], width])


def _joined_constant(loop: Loop, values: Sequence[ir.Value | None], axis: int) -> ir.Value:
    arrays = [np.asarray(array_of(value)) for value in values]
    name = "+".join(str(value.name) for value in values if value is not None)
    return constant_like(loop.main, name, np.concatenate(arrays, axis))


def _joined(values: Sequence[ir.Value], loop: Loop, nodes: list[ir.Node]) -> ir.Value:
    """Values beside each other: one product, where they are products of one value by constants, or a sum of such."""
    if all(value.is_initializer() for value in values):
        return _joined_constant(loop, values, -1)
    makers = [value.producer() for value in values]
    kinds = {node.op_type if node is not None else "" for node in makers}
    columns = [*zip(*(node.inputs for node in makers if node is not None), strict=False)]
    name = f"{values[0].name}.joined"
    if kinds == {"MatMul"} and len({*columns[0]}) == 1 and all(_is_matrix(value) for value in columns[1]):
        node = made("MatMul", [columns[0][0], _joined_constant(loop, columns[1], 1)], values[0], name)
    elif kinds == {"Add"} and all(_can_join(column, values) for column in columns):
        terms = [_joined([value for value in column if value is not None], loop, nodes) for column in columns]
        node = made("Add", terms, values[0], name)
    else:
        node = made("Concat", values, values[0], name, {"axis": -1})
    node.outputs[0].shape = _wider(values[0], sum(int(value.shape[-1]) for value in values))  # type: ignore[index,arg-type,misc]
    nodes.append(node)
    return node.outputs[0]


def _is_matrix(value: ir.Value | None) -> bool:
    return value is not None and value.is_initializer() and rank(value) == 2


def _can_join(column: Sequence[ir.Value | None], results: Sequence[ir.Value]) -> bool:
    """Whether terms of sums can be joined as the sums are: all of them biases, or all of the sums' shape."""
    wide = all(_has_width(term, int(result.shape[-1])) for term, result in zip(column, results, strict=True))  # type: ignore[index,arg-type]
    ranks = {(value.is_initializer(), rank(value)) for value in column if value is not None} if wide else set()
    return ranks in ({(True, 1)}, {(False, rank(results[0]))})
