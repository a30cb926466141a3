"""From a stretch that repeats to a loop: what each operand of a step is, compared over all steps of two captures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch

from .repeats import FEWEST, RepeatedSpan, UnlikeError
from .values import Op, Pick, Series, Steps, dtype_of, is_value, picks, root, series, takes_tensor

_aten = torch.ops.aten

# Operations whose two operands may be exchanged: the first step of `total = total + y` is recorded as `y + 0`.
_COMMUTING = {_aten.add.Tensor, _aten.mul.Tensor}

# Picks that lead from a tensor to an element of it: dimension, and index in the shorter and the longer capture.
Path = tuple[tuple[int, tuple[int, int]], ...]


@dataclass(frozen=True)
class Invariant:
    """The same in every step: a constant, or a value from outside, in the shorter and in the longer capture."""

    short: Any
    long: Any


@dataclass(frozen=True)
class Local:
    """What operation `position` of the same step computes, or an element of it."""

    position: int
    path: Path


@dataclass(frozen=True)
class LoopCarried:
    """What operation `position` computed `len(initial)` steps before; at first, the `initial` values in turn."""

    position: int
    path: Path
    initial: tuple[Invariant, ...]


@dataclass(frozen=True)
class ScanInput:
    """The next element of a series in each step; if `first` is given, that in step 0 and the series after it."""

    short: Series
    long: Series
    first: Invariant | None


@dataclass(frozen=True)
class InductionVariable:
    """The whole number `start + k * stride` in step k."""

    start: int
    stride: int


Operand = Invariant | Local | LoopCarried | ScanInput | InductionVariable


@dataclass(frozen=True)
class RerolledLoop:
    """`count` steps (in the shorter and the longer capture), each of the operations `ops` with these operands."""

    count: tuple[int, int]
    ops: tuple[Op, ...]
    args: tuple[Any, ...]
    kwargs: tuple[Any, ...]


@dataclass(frozen=True)
class Trace:
    """One of the two captures: its operations, and where each one stands in the loops found so far."""

    ops: Sequence[Op]
    members: dict[Op, tuple[int, int, int]] = field(default_factory=dict)

    def outside(self, value: Any) -> Any:
        """A value in terms of what the loops found so far put out."""
        if isinstance(value, Pick):
            return Pick(self.outside(value.base), value.dim, value.index)
        if isinstance(value, Op) and value in self.members:
            loop, position, k = self.members[value]
            return Pick(Steps(loop, position), 0, k)
        return value


def find_loop(short: Trace, long: Trace, run: RepeatedSpan, index: int) -> tuple[RerolledLoop, tuple[int, int]]:
    """The loop in a run, with the most steps and the fewest carried values, and where it starts in both captures.

    Raises:
        UnlikeError: no way to cut the run gives steps that are alike.
    """
    first: UnlikeError | None = None
    most = run.length // run.period
    for count in range(most, FEWEST - 1, -1):
        found = []
        for offset in range(run.length - count * run.period + 1):
            starts = (run.start[0] + offset, run.start[1] + offset)
            try:
                loop = _Partition(short, long, starts, run.period, count).loop()
            except UnlikeError as error:
                first = first or error
            else:
                found.append((_carries(loop), offset, loop, starts))
        if found:
            _, _, loop, starts = min(found, key=lambda item: item[:2])
            _enter(short, starts[0], run.period, count, index)
            _enter(long, starts[1], run.period, count + 1, index)
            return loop, starts
    assert first is not None
    raise first


def _enter(side: Trace, start: int, period: int, count: int, index: int) -> None:
    for i, op in enumerate(side.ops[start : start + period * count]):
        side.members[op] = (index, i % period, i // period)


def _carries(loop: RerolledLoop) -> int:
    return len({(o.position, o.path) for o in operands_of((loop.args, loop.kwargs)) if isinstance(o, LoopCarried)})


def operands_of(tree: Any) -> Iterator[Operand]:
    """Every operand in a tree of arguments."""
    if isinstance(tree, (tuple, list)):
        for part in tree:
            yield from operands_of(part)
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from operands_of(part)
    else:
        yield tree


class _Partition:
    """One way to cut a run into steps."""

    def __init__(self, short: Trace, long: Trace, starts: tuple[int, int], period: int, count: int) -> None:
        self._sides = (short, long)
        self._counts = (count, count + 1)
        self._steps = [
            [side.ops[start + k * period : start + (k + 1) * period] for k in range(steps)]
            for side, start, steps in zip(self._sides, starts, self._counts, strict=True)
        ]
        self._own = [{op: (k, p) for k, step in enumerate(steps) for p, op in enumerate(step)} for steps in self._steps]

    def loop(self) -> RerolledLoop:
        args, kwargs = [], []
        for p, op in enumerate(self._steps[0][0]):
            columns = [[step[p] for step in steps] for steps in self._steps]
            args.append(self._arguments(op, [[o.args for o in column] for column in columns]))
            kwargs.append(self._merged(op, [[dict(o.kwargs) for o in column] for column in columns]))
        return RerolledLoop((self._counts[0], self._counts[1]), tuple(self._steps[0][0]), tuple(args), tuple(kwargs))

    def _arguments(self, op: Op, columns: list[list[Any]]) -> Any:
        try:
            return self._merged(op, columns)
        except UnlikeError as unlike:
            if op.target not in _COMMUTING or is_value(columns[0][0][1]):
                raise
            try:
                return self._merged(op, [[column[0][::-1], *column[1:]] for column in columns])
            except UnlikeError:
                raise unlike from None

    def _merged(self, op: Op, columns: list[list[Any]]) -> Any:
        """One tree of operands for the same argument of all steps of both captures."""
        first = columns[0][0]
        every = [argument for column in columns for argument in column]
        if isinstance(first, (tuple, list)):
            if any(not isinstance(argument, (tuple, list)) or len(argument) != len(first) for argument in every):
                raise UnlikeError("takes another number of tensors in another step", op)
            return type(first)(
                self._merged(op, [[argument[i] for argument in column] for column in columns])
                for i in range(len(first))
            )
        if isinstance(first, dict):
            return {
                key: self._merged(op, [[argument[key] for argument in column] for column in columns]) for key in first
            }
        return self._operand(op, columns)

    def _operand(self, op: Op, columns: list[list[Any]]) -> Operand:
        if not any(is_value(argument) for column in columns for argument in column):
            return _number(op, columns)
        if not all(is_value(argument) for column in columns for argument in column[1:]):
            raise UnlikeError("takes a tensor in one step and a number in another", op)
        own = [[_place(side, argument) for argument in column] for side, column in zip(self._own, columns, strict=True)]
        if all(places[-1] is not None for places in own):
            return self._from_loop(op, columns, own)
        if any(place is not None for places in own for place in places) or not is_value(columns[0][0]):
            raise UnlikeError("takes a value of the loop in some steps only", op)
        outside = [
            [side.outside(argument) for argument in column] for side, column in zip(self._sides, columns, strict=True)
        ]
        if all(argument == column[0] for column in outside for argument in column):
            return Invariant(outside[0][0], outside[1][0])
        return _scanned(op, outside)

    def _from_loop(
        self, op: Op, columns: list[list[Any]], own: list[list[tuple[int, int] | None]]
    ) -> Local | LoopCarried:
        lags = [_lag(places) for places in own]
        last = own[0][-1]
        if lags[0] is None or lags[0] != lags[1] or last is None:
            raise UnlikeError("takes its input from another place in another step", op)
        lag, position = lags[0], last[1]
        paths = {picks(column[k]) for column in columns for k in range(lag, len(column))}
        if len(paths) != 1:
            raise UnlikeError("takes another element in another step", op)
        path: Path = tuple((dim, (i, i)) for dim, i in next(iter(paths)))
        if lag == 0:
            return Local(position, path)
        if dtype_of(self._steps[0][0][position]) is None:
            raise UnlikeError("hands on more than a tensor", op)
        initial = tuple(
            Invariant(self._sides[0].outside(columns[0][k]), self._sides[1].outside(columns[1][k])) for k in range(lag)
        )
        return LoopCarried(position, path, initial)


def _place(own: Mapping[Op, tuple[int, int]], argument: Any) -> tuple[int, int] | None:
    """In which step of the loop, and at which position, a value is computed; None outside."""
    base = root(argument) if is_value(argument) else None
    return own.get(base) if isinstance(base, Op) else None


def _number(op: Op, columns: list[list[Any]]) -> Invariant | InductionVariable:
    if all(type(a) is type(column[0]) and a == column[0] for column in columns for a in column):
        return Invariant(columns[0][0], columns[1][0])
    counted = [_counted(column) for column in columns]
    places = [i for i, argument in enumerate(op.args) if type(argument) is int and argument == columns[0][0]]
    if counted[0] is not None and counted[0] == counted[1] and len(places) == 1 and takes_tensor(op, places[0]):
        return counted[0]
    raise UnlikeError(f"takes {columns[0][0]!r} in one step and {columns[0][1]!r} in the next", op)


def _counted(column: list[Any]) -> InductionVariable | None:
    if not all(type(number) is int for number in column):
        return None
    strides = {b - a for a, b in pairwise(column)}
    return InductionVariable(column[0], strides.pop()) if len(strides) == 1 else None


def _lag(places: Sequence[tuple[int, int] | None]) -> int | None:
    """After how many steps a value is used; None unless it is the same one in all steps from that on."""
    last = places[-1]
    assert last is not None
    lag, position = len(places) - 1 - last[0], last[1]
    expected = [None if k < lag else (k - lag, position) for k in range(len(places))]
    return lag if list(places) == expected and lag < len(places) - 1 else None


def _scanned(op: Op, columns: list[list[Any]]) -> ScanInput:
    for skipped in (0, 1):
        short, long = (series(column[skipped:]) for column in columns)
        if short is not None and long is not None:
            return ScanInput(short, long, Invariant(columns[0][0], columns[1][0]) if skipped else None)
    raise UnlikeError("takes its input from another place in another step", op)
