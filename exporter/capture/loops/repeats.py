"""Where two captures of one model, at lengths that differ by one step, show that steps repeat.

A longer sequence makes each loop longer by one step and leaves the rest as it is. So the two lists of operations are
alike up to the end of the first loop, where the longer one has a step more; after that they are alike again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch

from .values import Leaf, Op, Pick, dtype_of, is_value, operands, replaced, root, shape_of, takes_tensor

_aten = torch.ops.aten

# A run of fewer equal steps than this may be an accident.
FEWEST = 3


# Operations that make a tensor whose content depends on no other tensor's.
_MAKERS = {
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

# As many equal operations come of a loop, not of layers that happen to share their weights.
_REPEATED = 4


@dataclass(frozen=True)
class RepeatedSpan:
    """A stretch that repeats with `period` operations a step, from `start` in the shorter and the longer capture.

    `length` is that of the stretch in the shorter capture; in the longer one it is longer by `period`. `parts` is how
    many equal parts a period has.
    """

    start: tuple[int, int]
    period: int
    length: int
    parts: int

    def apart(self) -> list[RepeatedSpan]:
        """The stretch as several, one after the other, each of which repeats a part of the period."""
        period, count = self.period // self.parts, self.length // self.period
        return [
            RepeatedSpan(
                (self.start[0] + i * count * period, self.start[1] + i * (count + 1) * period),
                period,
                count * period,
                1,
            )
            for i in range(self.parts)
        ]


class UnlikeError(Exception):
    """Steps, or captures, differ: how, and at which operation of the shorter capture."""

    def __init__(self, how: str, op: Op | None) -> None:
        super().__init__(how)
        self.op = op


def find_runs(short: Sequence[Op], long: Sequence[Op]) -> list[RepeatedSpan]:
    """The stretches that repeat, in order; apart from them, the captures are alike.

    Raises:
        UnlikeError: the captures differ where no stretch repeats.
    """
    a, b = _labels(short), _labels(long)
    runs: list[RepeatedSpan] = []
    i = j = 0
    while i < len(a) or j < len(b):
        if i < len(a) and j < len(b) and a[i] == b[j]:
            i, j = i + 1, j + 1
            continue
        after = runs[-1].start[1] + runs[-1].length + runs[-1].period if runs else 0
        run = _run_at(a, b, i, j, min(after, j))
        if run is None:
            raise UnlikeError("is not done alike in every step", (*long[j : j + 1], *short[i : i + 1])[0])
        runs.append(run)
        j += run.period
    return runs


def _run_at(a: Sequence[Hashable], b: Sequence[Hashable], i: int, j: int, after: int) -> RepeatedSpan | None:
    """The shortest period with which the longer capture repeats before and after `j`, and then goes on like `a`."""
    for period in range(1, len(b) - j + 1):
        if not _go_on_alike(a, b, i, j + period, period):
            continue
        first = j
        while first > after and b[first - 1] == b[first - 1 + period]:
            first -= 1
        last = j + period
        while last < len(b) and b[last] == b[last - period]:
            last += 1
        if j - first >= period * (FEWEST - 1):
            stretch = b[first:last]
            parts = next(n for n in range(period, 0, -1) if period % n == 0 and _repeats(stretch, period // n))
            return RepeatedSpan((first - j + i, first), period, last - first - period, parts)
    return None


def _repeats(labels: Sequence[Hashable], period: int) -> bool:
    return labels[period:] == labels[:-period]


def _go_on_alike(a: Sequence[Hashable], b: Sequence[Hashable], i: int, j: int, period: int) -> bool:
    if i == len(a):
        return j == len(b)
    count = min(period, len(a) - i, FEWEST)
    return len(b) - j >= count and list(a[i : i + count]) == list(b[j : j + count])


def _labels(ops: Sequence[Op]) -> list[Hashable]:
    """What steps of one loop have in common: the operations and their weights, but neither values nor whole numbers."""
    uses = Counter(value for op in ops for value in operands(op) if isinstance(value, Leaf))
    # A parameter that is used once is no weight of every step: it may be an initial state.
    weights = {leaf for leaf, count in uses.items() if leaf.op == "get_attr" and count >= FEWEST}
    return [(op.target, _arguments(op, weights), _form(dict(op.kwargs), weights), _kind(op)) for op in ops]


def _arguments(op: Op, weights: Set[Leaf]) -> Hashable:
    # A number where a tensor may stand is one: an accumulator begins as 0.
    return tuple(
        "value" if isinstance(argument, (int, float)) and takes_tensor(op, i) else _form(argument, weights)
        for i, argument in enumerate(op.args)
    )


def _kind(op: Op) -> Hashable:
    shape = shape_of(op)
    return (dtype_of(op), None if shape is None else len(shape))


def _form(argument: object, weights: Set[Leaf]) -> Hashable:
    if is_value(argument):
        base = root(argument)
        return ("weight", base.target) if isinstance(base, Leaf) and base in weights else "value"
    if isinstance(argument, (tuple, list)):
        forms = [_form(part, weights) for part in argument]
        return ("values",) if forms and set(forms) == {"value"} else tuple(forms)
    if isinstance(argument, dict):
        return tuple((key, _form(part, weights)) for key, part in argument.items())
    if isinstance(argument, int) and not isinstance(argument, bool):
        return "number"
    return repr(argument)


def in_order(ops: Sequence[Op], output: Any) -> tuple[tuple[Op, ...], Any]:
    """The operations in an order in which equal steps of a loop look equal.

    What every step does with parameters and sizes alone is done once, at the start; and tensors are made as early as
    may be, for a loop makes its initial state in the first step where it is not given.
    """
    once, ops, output = _merged(ops, output)
    first: dict[Op, None] = {}
    rest: list[Op] = []
    for op in ops:
        needs = {base for base in map(root, operands(op)) if isinstance(base, Op)}
        if needs <= first.keys() and (op in once or _is_size(op) or op.target in _MAKERS):
            first[op] = None
        elif op.target in _MAKERS:
            rest.insert(max((rest.index(base) for base in needs - first.keys()), default=-1) + 1, op)
        else:
            rest.append(op)
    return (*first, *rest), output


def _merged(ops: Sequence[Op], output: Any) -> tuple[Set[Op], list[Op], Any]:
    """What every step repeats with parameters and sizes alone, once; all operations with that; and the output."""
    first: dict[Op, Op] = {}
    known: dict[Any, Op] = {}
    for op in ops:
        if _is_static(op, first.keys()):
            first[op] = known.setdefault(_key(op, first), op)
    copies = Counter(first.values())
    once = {op for op, count in copies.items() if count >= _REPEATED and op.target is not _aten.clone.default}
    new: dict[Op, Op] = {}
    for op in ops:
        if first.get(op, op) is not op and first[op] in once:
            new[op] = new[first[op]]
        else:
            new[op] = Op(op.target, _renewed(op.args, new), _renewed(op.kwargs, new), op.node, op.content)
    return {new[op] for op in once}, list(dict.fromkeys(new.values())), _renewed(output, new)


def _renewed(argument: Any, new: Mapping[Op, Op]) -> Any:
    def renew(part: Any) -> Any:
        if isinstance(part, Pick):
            return Pick(renew(part.base), part.dim, part.index)
        return new.get(part, part) if isinstance(part, Op) else part

    return replaced(argument, renew)


def _is_static(op: Op, static: Set[Op]) -> bool:
    """Whether no value of an input goes into it."""
    if _is_size(op) or (op.target in _MAKERS and not any(isinstance(root(value), Op) for value in operands(op))):
        return True
    return all(base.op == "get_attr" if isinstance(base, Leaf) else base in static for base in map(root, operands(op)))


def _is_size(op: Op) -> bool:
    return op.target is _aten.sym_size.int and isinstance(op.args[0], Leaf)


def _key(op: Op, first: Mapping[Op, Op]) -> Any:
    """What equal operations on equal values have in common."""
    return (op.target, _frozen(_renewed(op.args, first)), _frozen(_renewed(op.kwargs, first)))


def _frozen(argument: Any) -> Any:
    """The tree as something that can be looked up; 1, 1.0 and True are told apart."""
    if isinstance(argument, (tuple, list)):
        return tuple(map(_frozen, argument))
    if isinstance(argument, Mapping):
        return tuple((key, _frozen(part)) for key, part in argument.items())
    return (type(argument), argument)
