"""Where two captures of one model, at lengths that differ by one step, show that steps repeat.

A longer sequence makes each loop longer by one step and leaves the rest as it is. So the two lists of operations are
alike up to the end of the first loop, where the longer one has a step more; after that they are alike again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass

from .values import Leaf, Op, dtype_of, is_value, operands, root, shape_of, takes_tensor

# A run of fewer equal steps than this may be an accident.
FEWEST = 3


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
