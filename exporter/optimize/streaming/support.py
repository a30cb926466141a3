"""How far apart two steps may be that a table puts together: its masks say which distances take no part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..graph import array_of
from .distances import Table
from .flow import Paired
from .graph_stream import GraphStream
from .pairs import roles, softmax_side

# A softmax makes 0 of what is so far below; models write -1e4, -1e9, the least number and -inf.
_MASKED = -9999.0

# Multiplied with no less than this, -1e4 is still so far below that a softmax makes 0 of it.
_LEAST_FACTOR = 1 / 32

# For each distance, from `-_FAR` to `_FAR`.
_FAR = 1 << 14
Support = NDArray[np.bool_]

_ALL: Support = np.ones(2 * _FAR + 1, bool)
_NONE: Support = np.zeros(2 * _FAR + 1, bool)

_AS_THEY_ARE = ("Cast", "Identity", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Expand")


@dataclass(frozen=True)
class Part:
    """What an element of a table has to be to take part, and the operators after which it is.

    It is if it was in all operands of those in `every`, in one of those in `some`, in the first of those in `first`.
    """

    takes: Callable[[NDArray[Any]], Support]
    every: tuple[str, ...]
    some: tuple[str, ...]
    first: tuple[str, ...]


NOT_ZERO = Part(
    lambda array: np.asarray(array != 0),
    ("Mul", "And", "Einsum"),
    ("Add", "Sub", "Or"),
    ("Div", "MatMul", "Neg", *_AS_THEY_ARE),
)
ZERO = Part(lambda array: np.asarray(array == 0), (), (), ())
NOT_MASKED = Part(lambda array: np.asarray(array > _MASKED), ("Add", "Min"), (), ("Sub", *_AS_THEY_ARE))


def reach(support: Support) -> tuple[int | None, int | None]:
    """How far back and ahead of a step the steps lie that take part; None without end."""
    there = np.flatnonzero(support) - _FAR
    if not there.size:
        return 0, 0
    back, ahead = int(there[-1]), int(-there[0])
    return None if back == _FAR else back, None if ahead == _FAR else ahead


def support(stream: GraphStream, value: ir.Value | None, turned: bool, part: Part) -> Support:
    """The distances i - j at which an element [i, j] of a table may take part; of a `turned` one, an element [j, i]."""
    constant, fixed = array_of(value), _fixed(stream, value, turned)
    if constant is not None:
        return _ALL if part.takes(constant).any() else _NONE
    if fixed is not None:
        return _at(fixed, part) | _far_off(stream, value, fixed, turned, part)
    node = None if value is None else value.producer()
    return _ALL if node is None or not isinstance(stream.flow(value), Paired) else _after(stream, node, turned, part)


def _after(stream: GraphStream, node: ir.Node, turned: bool, part: Part) -> Support:
    """What an operator leaves."""
    if node.op_type == "Where":
        return _chosen(stream, node, turned, part)
    tables = [(k, role) for k, role in roles(stream, node) if isinstance(stream.flow(node.inputs[k]), Paired)]
    given = {k: support(stream, node.inputs[k], turned ^ bool(role), _before(stream, node, part)) for k, role in tables}
    found = _ALL
    if node.op_type in part.every:
        found = reduce(np.logical_and, given.values(), _ALL)
    elif node.op_type in part.some and len(given) == len(node.inputs):
        found = reduce(np.logical_or, given.values(), _NONE)
    elif node.op_type in part.first or _before(stream, node, part) is not part or _is_scaled(node, part):
        found = given.get(0, _ALL)
    if node.op_type == "Trilu" and part is NOT_ZERO:
        keeps = trilu_table(stream, node)
        keeps = keeps.turned() if turned else keeps
        found = given[0] & _at(keeps, NOT_ZERO)
    return found


def _before(stream: GraphStream, node: ir.Node, part: Part) -> Part:
    """What has to be before an operator: an exponential makes 0 of what is masked."""
    along = node.op_type == "Exp" or (node.op_type == "Softmax" and softmax_side(stream, node) is not None)
    return NOT_MASKED if part is NOT_ZERO and along else part


def _is_scaled(node: ir.Node, part: Part) -> bool:
    """Whether a table is multiplied with a constant that leaves what is masked far below."""
    if part is not NOT_MASKED or node.op_type not in ("Mul", "Div") or (found := array_of(node.inputs[1])) is None:
        return False
    factor = np.asarray(found, np.float64)
    return bool(
        np.all(factor >= _LEAST_FACTOR if node.op_type == "Mul" else (factor > 0) & (factor <= 1 / _LEAST_FACTOR))
    )


def _chosen(stream: GraphStream, node: ir.Node, turned: bool, part: Part) -> Support:
    """Of a Where: what either side lets through where it is taken."""
    condition, one, other = node.inputs
    fixed = _fixed(stream, condition, turned)
    no = _ALL if fixed is None else _at(fixed, ZERO) | _far_off(stream, condition, fixed, turned, ZERO)
    taken = support(stream, condition, turned, NOT_ZERO) & support(stream, one, turned, part)
    return taken | (no & support(stream, other, turned, part))


def _fixed(stream: GraphStream, value: ir.Value | None, turned: bool) -> Table | None:
    if value is None or not isinstance(stream.flow(value), Paired) or not stream.distances.is_fixed(value):
        return None
    table = stream.distances.table(value)
    return table.turned() if table is not None and turned else table


def trilu_table(stream: GraphStream, node: ir.Node) -> Table:
    """What a Trilu keeps, by distance."""
    more = int(stream.measured.arrays(node.inputs[1])[0].reshape(())) if len(node.inputs) > 1 else 0
    above = np.arange(-_FAR, _FAR + 1) + more
    return Table(np.asarray(above <= 0 if node.attributes.get_int("upper", 1) else above >= 0), -_FAR)


def _at(table: Table, part: Part) -> Support:
    taken = part.takes(table.values)
    flat = np.asarray(taken.reshape(-1, taken.shape[-1]).any(0))
    return NOT_ZERO.takes(Table(flat, table.first).between(-_FAR, _FAR).values)


def _far_off(stream: GraphStream, value: ir.Value | None, table: Table, turned: bool, part: Part) -> Support:
    """All distances beyond those of a table, on either side, if some there take part."""
    assert value is not None
    found, far = _NONE.copy(), stream.distances.far(value)
    if far is not None:
        before, behind = (far.turned() if turned else far).beyond(table.first, table.last)
        found[: table.first + _FAR] = part.takes(before).any()
        found[table.last + _FAR + 1 :] = part.takes(behind).any()
    return found


def unreadable(stream: GraphStream, value: ir.Value | None, turned: bool, back: int | None) -> str:
    """Why a table that follows from sizes alone cannot be had in chunks; empty if there is none such."""
    if value is None or not isinstance(stream.flow(value), Paired):
        return ""
    if stream.distances.is_fixed(value):
        return _unreadable_table(stream, value, turned, back)
    node = value.producer()
    found = [] if node is None else [(node.inputs[k], turned ^ bool(role)) for k, role in roles(stream, node)]
    return next(filter(None, (unreadable(stream, each, around, back) for each, around in found)), "")


def _unreadable_table(stream: GraphStream, value: ir.Value, turned: bool, back: int | None) -> str:
    table = _fixed(stream, value, turned)
    if table is None:
        is_wide = stream.distances.is_too_wide(value)
        why = ", made with a number of more than 8192" if is_wide else " that is not the same for the same distance"
        return f"reads a table of every step by every other{why}"
    goes_on = back is None and (table.trimmed().last > table.last // 2 or _changes(stream, value, table, turned))
    return "reads a table that goes on changing, however far apart two steps are" if goes_on else ""


def _changes(stream: GraphStream, value: ir.Value, table: Table, turned: bool) -> bool:
    """Whether a table says something else of steps that are further apart than it is run at."""
    far = stream.distances.far(value)
    if far is None:
        return False
    _, behind = (far.turned() if turned else far).beyond(table.first, table.last)
    edge = np.broadcast_to(table.values[..., -1:], behind.shape)
    return not np.array_equal(behind, edge, equal_nan=behind.dtype.kind == "f")
