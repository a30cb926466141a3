"""Find the spans of operations that repeat, by comparing captures at lengths that differ by one step.

A longer sequence adds one step to each loop and changes nothing else. So the two lists of operations agree up to the
end of the first loop, where the longer list has one step more, and agree again after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch

from ...torch_internals.modules import takes_tensor
from .values import Leaf, Op, Pick, Stacked, dtype_of, is_value, map_leaves, operands, root, shape_of

_aten = torch.ops.aten

# Fewer equal steps than this may be a coincidence.
MIN_STEPS = 3

# So many equal operations come from a loop, rather than from layers that share weights.
_MIN_COPIES = 4

# Operations that make a tensor from sizes and constants alone.
_CREATION = {
    _aten.zeros.default,
    _aten.ones.default,
    _aten.full.default,
    _aten.empty.memory_format,
    _aten.zeros_like.default,
    _aten.ones_like.default,
    _aten.full_like.default,
    _aten.new_zeros.default,
    _aten.new_ones.default,
    _aten.new_full.default,
}


@dataclass(frozen=True)
class Trace:
    """The operations of one capture, and of those in the loops found so far (loop, position in a step, step)."""

    ops: Sequence[Op]
    members: dict[Op, tuple[int, int, int]] = field(default_factory=dict)

    def resolve(self, value: Any) -> Any:
        """The same value, where a loop computes it as an element of the loop's stacked results."""
        if isinstance(value, Pick):
            return Pick(self.resolve(value.base), value.dim, value.index)
        if isinstance(value, Op) and value in self.members:
            loop, position, k = self.members[value]
            return Pick(Stacked(loop, position), 0, k)
        return value

    def add_loop(self, index: int, start: int, period: int, count: int) -> None:
        """Record which operations the `index`-th loop consists of."""
        for i, op in enumerate(self.ops[start : start + period * count]):
            self.members[op] = (index, i % period, i // period)


class MismatchError(Exception):
    """Two steps, or the two captures, differ: how, and at which operation of the shorter capture."""

    def __init__(self, how: str, op: Op | None) -> None:
        super().__init__(how)
        self.op = op


@dataclass(frozen=True)
class RepeatedSpan:
    """Operations that repeat with a period, `period` operations being one step.

    `start` is where the span begins in the shorter and in the longer capture, `length` how many operations it has in
    the shorter one; the longer one has `period` more. `parts` is how many equal parts a period consists of.
    """

    start: tuple[int, int]
    period: int
    length: int
    parts: int

    def split(self) -> list[RepeatedSpan]:
        """The span as `parts` spans in a row, each of which repeats one part of the period."""
        period, count = self.period // self.parts, self.length // self.period
        starts = [(i * count * period, i * (count + 1) * period) for i in range(self.parts)]
        return [
            RepeatedSpan((self.start[0] + a, self.start[1] + b), period, count * period, parts=1) for a, b in starts
        ]


def find_spans(short: Sequence[Op], long: Sequence[Op]) -> list[RepeatedSpan]:
    """The repeated spans, in order; between them the two captures agree.

    Raises:
        MismatchError: the captures differ where nothing repeats.
    """
    a, b = _labels(short), _labels(long)
    spans: list[RepeatedSpan] = []
    i = j = 0
    while i < len(a) or j < len(b):
        if i < len(a) and j < len(b) and a[i] == b[j]:
            i, j = i + 1, j + 1
            continue
        after = spans[-1].start[1] + spans[-1].length + spans[-1].period if spans else 0
        span = _span_at(a, b, i, j, min(after, j))
        if span is None:
            raise MismatchError("is not the same in every step", (*long[j : j + 1], *short[i : i + 1])[0])
        spans.append(span)
        j += span.period
    return spans


def _span_at(a: Sequence[Hashable], b: Sequence[Hashable], i: int, j: int, after: int) -> RepeatedSpan | None:
    """The span of the shortest period that `b` repeats on both sides of `j`, and after which it agrees with `a[i:]`."""
    for period in range(1, len(b) - j + 1):
        if not _agree_from(a, b, i, j + period, period):
            continue
        first = j
        while first > after and b[first - 1] == b[first - 1 + period]:
            first -= 1
        last = j + period
        while last < len(b) and b[last] == b[last - period]:
            last += 1
        if j - first >= period * (MIN_STEPS - 1):
            labels = b[first:last]
            parts = next(n for n in range(period, 0, -1) if period % n == 0 and _has_period(labels, period // n))
            return RepeatedSpan((first - j + i, first), period, last - first - period, parts)
    return None


def _has_period(labels: Sequence[Hashable], period: int) -> bool:
    return labels[period:] == labels[:-period]


def _agree_from(a: Sequence[Hashable], b: Sequence[Hashable], i: int, j: int, period: int) -> bool:
    if i == len(a):
        return j == len(b)
    count = min(period, len(a) - i, MIN_STEPS)
    return len(b) - j >= count and list(a[i : i + count]) == list(b[j : j + count])


def _labels(ops: Sequence[Op]) -> list[Hashable]:
    """What all steps of a loop share, per operation: operator, weights, dtype and rank, but no values or numbers."""
    uses = Counter(value for op in ops for value in operands(op) if isinstance(value, Leaf))
    # A parameter that is used once is no weight of every step: it may be an initial state.
    weights = {leaf for leaf, count in uses.items() if leaf.op == "get_attr" and count >= MIN_STEPS}
    return [(op.target, _arguments_label(op, weights), _label(dict(op.kwargs), weights), _kind(op)) for op in ops]


def _arguments_label(op: Op, weights: Set[Leaf]) -> Hashable:
    # A number in the place of a tensor counts as one: an accumulator may begin as 0.
    return tuple(
        "value" if isinstance(argument, (int, float)) and takes_tensor(op.target, i) else _label(argument, weights)
        for i, argument in enumerate(op.args)
    )


def _kind(op: Op) -> Hashable:
    shape = shape_of(op)
    return (dtype_of(op), None if shape is None else len(shape))


def _label(argument: object, weights: Set[Leaf]) -> Hashable:
    if is_value(argument):
        base = root(argument)
        return ("weight", base.target) if isinstance(base, Leaf) and base in weights else "value"
    if isinstance(argument, (tuple, list)):
        labels = [_label(part, weights) for part in argument]
        return ("values",) if labels and set(labels) == {"value"} else tuple(labels)
    if isinstance(argument, dict):
        return tuple((key, _label(part, weights)) for key, part in argument.items())
    if isinstance(argument, int) and not isinstance(argument, bool):
        return "number"
    return repr(argument)


def canonical_order(ops: Sequence[Op], output: Any) -> tuple[tuple[Op, ...], Any]:
    """Reorder the operations so that equal steps of a loop are equal lists; also gives the output in their terms.

    What each step computes from parameters and sizes alone is computed once, at the start. Tensors are created as
    early as possible, since a loop without a given state creates it in the first step.
    """
    shared, ops, output = _deduplicate(ops, output)
    first: dict[Op, None] = {}
    rest: list[Op] = []
    for op in ops:
        needs = {base for base in map(root, operands(op)) if isinstance(base, Op)}
        if needs <= first.keys() and (op in shared or _is_input_size(op) or op.target in _CREATION):
            first[op] = None
        elif op.target in _CREATION:
            rest.insert(max((rest.index(base) for base in needs - first.keys()), default=-1) + 1, op)
        else:
            rest.append(op)
    return (*first, *rest), output


def _deduplicate(ops: Sequence[Op], output: Any) -> tuple[Set[Op], list[Op], Any]:
    """Common subexpression elimination of what depends on no input's values.

    Returns what many operations have been replaced by, all operations that are left, and the output.
    """
    first: dict[Op, Op] = {}
    known: dict[Any, Op] = {}
    for op in ops:
        if _is_input_free(op, first.keys()):
            first[op] = known.setdefault(_key(op, first), op)
    copies = Counter(first.values())
    shared = {op for op, count in copies.items() if count >= _MIN_COPIES and op.target is not _aten.clone.default}
    new: dict[Op, Op] = {}
    for op in ops:
        if first.get(op, op) is not op and first[op] in shared:
            new[op] = new[first[op]]
        else:
            new[op] = Op(op.target, _substitute(new, op.args), _substitute(new, op.kwargs), op.node, op.val)
    return {new[op] for op in shared}, list(dict.fromkeys(new.values())), _substitute(new, output)


def _substitute(new: Mapping[Op, Op], tree: Any) -> Any:
    def substitute(leaf: Any) -> Any:
        if isinstance(leaf, Pick):
            return Pick(substitute(leaf.base), leaf.dim, leaf.index)
        return new.get(leaf, leaf) if isinstance(leaf, Op) else leaf

    return map_leaves(substitute, tree)


def _is_input_free(op: Op, known: Set[Op]) -> bool:
    """Whether an operation depends on no values of an input, given those `known` not to."""
    if _is_input_size(op) or (op.target in _CREATION and not any(isinstance(root(v), Op) for v in operands(op))):
        return True
    return all(base.op == "get_attr" if isinstance(base, Leaf) else base in known for base in map(root, operands(op)))


def _is_input_size(op: Op) -> bool:
    return op.target is _aten.sym_size.int and isinstance(op.args[0], Leaf)


def _key(op: Op, first: Mapping[Op, Op]) -> Any:
    """Equal for equal operations on equal values."""
    return (op.target, _hashable(_substitute(first, op.args)), _hashable(_substitute(first, op.kwargs)))


def _hashable(tree: Any) -> Any:
    """The tree as a dictionary key that tells 1, 1.0 and True apart."""
    if isinstance(tree, (tuple, list)):
        return tuple(map(_hashable, tree))
    if isinstance(tree, Mapping):
        return tuple((key, _hashable(part)) for key, part in tree.items())
    return (type(tree), tree)
