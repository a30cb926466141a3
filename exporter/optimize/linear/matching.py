"""Recognise a loop's state as one of linear attention: what it is multiplied by, what is added, and what is read.

    S' = a S + k v         S' = a S + b k (v - a k S)         y = q S'    or    q S

S has the axes [batch..., key, value] in any order; a has a number for each batch or for each key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from ..graph import captured
from ..loops.scan_loop import ScanLoop
from .algebra import TIME, Axis, Expression, Factor, Term
from .reading import Reading


@dataclass(frozen=True)
class Readout:
    """A value of the body that is the product of a query and the state, before the update or after it.

    What is added to it or multiplied with it stays as it is written: elsewhere it may be infinite, or NaN, otherwise.
    `axes` are its own, named as the state's are.
    """

    value: ir.Value
    axes: tuple[Axis, ...]
    query: Term
    is_before: bool


@dataclass(frozen=True)
class Recurrence:
    """A state of linear attention, the k-th of its loop. Without a rate v is added as it is; without a decay a is 1."""

    k: int
    axes: tuple[Axis, ...]
    key_axis: int
    value_axis: int | None
    key: Term
    value: Term
    decay: tuple[Term, ...]
    rate: Term | None
    readout: Readout

    @property
    def batch(self) -> tuple[int, ...]:
        """The axes that are neither the key's nor the value's."""
        return tuple(axis for axis in self.axes if axis not in (None, self.key_axis, self.value_axis))

    @property
    def is_key_decayed(self) -> bool:
        return any(self.key_axis in term.names for term in self.decay)

    @property
    def rule(self) -> str:
        """What ONNX's LinearAttention calls it."""
        return {
            (False, False): "linear",
            (True, False): "gated",
            (False, True): "delta",
            (True, True): "gated_delta",
        }[bool(self.decay), self.rate is not None]


def match(loop: ScanLoop, k: int) -> Recurrence | None:
    """The recurrence that the k-th state of a loop is; None if it is another, or is read in several ways."""
    state, end = loop.body.inputs[k], source(loop.body.outputs[k])
    node = end.producer()
    if state.dtype != ir.DataType.FLOAT or node is None or end is state:
        return None
    update = Reading(loop, [state]).of_node(node)
    if update is None or state.shape is None or len(update.axes) != state.shape.rank():
        return None
    found = _readout(loop, k, state, end, update.axes)
    return None if found is None else _recurrence(k, update, state, *found)


def source(value: ir.Value) -> ir.Value:
    """The value that a copy is a copy of."""
    node = value.producer()
    while node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _readout(
    loop: ScanLoop, k: int, state: ir.Value, end: ir.Value, axes: tuple[Axis, ...]
) -> tuple[Readout, int] | None:
    """What the rest of the loop reads of a state, and the key's axis; None if that is nothing, or several values."""
    reading = Reading(loop, [state, end])
    found: dict[ir.Value, tuple[Readout, int]] = {}
    waiting = [value for i, value in enumerate(loop.body.outputs) if i != k]
    seen: set[ir.Value] = set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in (state, end):
            return None
        node, readout = value.producer(), _as_readout(value, reading.of(value), (state, end), axes)
        if readout is not None:
            found[value] = readout
        elif node is not None and node.graph is loop.body:
            waiting += [each for each in (*node.inputs, *captured(node)) if each is not None]
    return next(iter(found.values())) if len(found) == 1 else None


def _as_readout(
    value: ir.Value, read: Expression | None, states: tuple[ir.Value, ir.Value], axes: tuple[Axis, ...]
) -> tuple[Readout, int] | None:
    """The readout that a value is, with the names that a state's axes have, and the key's axis."""
    if read is None or len(read.terms) != 1:
        return None
    term = read.terms[0]
    factors = [factor for factor in term.factors if factor.value in states]
    if len(factors) != 1:
        return None
    (factor,) = factors
    names = {axis: name for axis, name in zip(factor.axes, axes, strict=True) if axis is not None and name is not None}
    summed = {*names} - {*read.axes}
    if len(summed) != 1 or {*names} - summed != {*read.axes} - {None} or len({*names.values()}) < len(names):
        return None
    key = names[summed.pop()]
    named = read.renamed(names)
    query = _without_state(named.terms[0], factor.value)
    if not query.names <= {*names.values(), TIME}:
        return None
    return Readout(value, named.axes, query, factor.value is states[0]), key


def _recurrence(k: int, update: Expression, state: ir.Value, readout: Readout, key: int) -> Recurrence | None:
    """The recurrence whose state is updated so, if linear attention is."""
    own = {axis for axis in update.axes if axis is not None}
    kept = [_without_state(term, state) for term in update.terms if _is_kept(term, state, update.axes)]
    added = [term for term in update.terms if not term.of(state)]
    rest = [term for term in update.terms if term.of(state) and not _is_kept(term, state, update.axes)]
    if not kept or len(added) != 1 or len(rest) > 1 or not added[0].names <= own | {TIME}:
        return None
    decay = () if kept == [Term(1.0, ())] else (*kept,)
    if rest:
        rate = _rate(rest[0], state, update.axes, key, decay)
        if rate is None:
            return None
        wanted = rate[1].factors
    else:
        rate, wanted = None, ()
    keys = tuple(factor for factor in added[0].factors if key in factor.names)
    if rate is not None and not _is_same(keys, rate[0]):
        return None
    others = _minus((each for each in added[0].factors if key not in each.names), wanted)
    if others is None:
        return None
    number = added[0].number / (rate[1].number if rate is not None else 1.0)
    terms = [Term(1.0, keys), readout.query, *decay, *([] if rate is None else [rate[1]])]
    of_keys = frozenset[int]().union(*(term.names for term in terms))
    values = [axis for axis in update.axes if axis is not None and axis not in of_keys]
    found = Recurrence(
        k,
        update.axes,
        key,
        values[-1] if values else None,
        Term(1.0, keys),
        Term(number, (*others,)),
        decay,
        None if rate is None else rate[1],
        readout,
    )
    return found if all(term.names <= own | {TIME} for term in decay) else None


def _is_kept(term: Term, state: ir.Value, axes: tuple[Axis, ...]) -> bool:
    """Whether a term is the state times what has none of its elements in other places."""
    return [factor.axes for factor in term.of(state)] == [axes]


def _without_state(term: Term, state: ir.Value) -> Term:
    return replace(term, factors=tuple(factor for factor in term.factors if factor.value is not state))


def _rate(
    term: Term, state: ir.Value, axes: tuple[Axis, ...], key: int, decay: Sequence[Term]
) -> tuple[tuple[Factor, ...], Term] | None:
    """Key and rate b of what is taken from the state, b k (k a S): what its keys give goes back to the same keys."""
    (factor, *more) = term.of(state)
    moved = [(axis, name) for axis, name in zip(factor.axes, axes, strict=True) if axis != name]
    if more or len(decay) > 1 or len(moved) != 1 or moved[0][1] != key or moved[0][0] is None:
        return None
    inner = moved[0][0]
    factors = [each for each in term.factors if each is not factor]
    read = [each.renamed({inner: key}) for each in factors if inner in each.names]
    written = tuple(each for each in factors if key in each.names)
    plain = [each for each in factors if not each.names & {inner, key}]
    fades = decay[0].factors if decay else ()
    keys = _minus(read, [each for each in fades if key in each.names])
    rates = _minus(plain, [each for each in fades if key not in each.names])
    if keys is None or rates is None or not keys or not _is_same(keys, written):
        return None
    return written, Term(-term.number / (decay[0].number if decay else 1.0), (*rates,))


def _minus(factors: Iterable[Factor], taken: Iterable[Factor]) -> list[Factor] | None:
    """The factors without those taken; None if one is not among them."""
    left = [*factors]
    for each in taken:
        if each not in left:
            return None
        left.remove(each)
    return left


def _is_same(left: Sequence[Factor], right: Sequence[Factor]) -> bool:
    return _minus(left, right) == []
