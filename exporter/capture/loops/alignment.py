"""Align the steps of a repeated span: what each operand of a step is, judged over every step of both captures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from ...torch_internals.modules import takes_tensor
from .repeats import MIN_STEPS, MismatchError, RepeatedSpan, Trace
from .values import Op, Picks, Series, dtype_of, is_value, leaves, picks, root, series

_aten = torch.ops.aten

# Commutative operations may swap their operands: `total = total + y` with total = 0 is recorded as `y + 0`.
_COMMUTATIVE = {_aten.add.Tensor, _aten.mul.Tensor}

_OTHER_SOURCE = "reads its input from a different place in another step"


@dataclass(frozen=True)
class Invariant:
    """Loop-invariant: a constant or a value from outside the loop, as it is in the shorter and the longer capture."""

    short: Any
    long: Any


@dataclass(frozen=True)
class Local:
    """The result of operation `position` in the same step, or an element of it."""

    position: int
    path: Picks


@dataclass(frozen=True)
class LoopCarried:
    """The result of operation `position` `len(initial)` steps ago; in the first steps, the `initial` ones in turn."""

    position: int
    path: Picks
    initial: tuple[Invariant, ...]


@dataclass(frozen=True)
class ScanInput:
    """Element k of a series in step k; where `first` is given, `first` in step 0 and element k - 1 from then on."""

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
    """The operations `ops` of one step, their operands as `args` and `kwargs`, and how often they repeat.

    `starts` is the position of the first step, `count` the number of steps, each in the shorter and the longer capture.
    """

    starts: tuple[int, int]
    count: tuple[int, int]
    ops: tuple[Op, ...]
    args: tuple[Any, ...]
    kwargs: tuple[Any, ...]

    def operands(self) -> Iterator[Operand]:
        """Every operand of every operation."""
        return leaves((self.args, self.kwargs))


def find_loop(short: Trace, long: Trace, span: RepeatedSpan, index: int) -> RerolledLoop:
    """The loop in a span: of all partitions into equal steps the one with most steps, then fewest loop-carried values.

    Raises:
        MismatchError: no partition of the span has equal steps.
    """
    first: MismatchError | None = None
    for count in range(span.length // span.period, MIN_STEPS - 1, -1):
        found = []
        for offset in range(span.length - count * span.period + 1):
            starts = (span.start[0] + offset, span.start[1] + offset)
            try:
                found.append(_Partition((short, long), starts, span.period, count).loop())
            except MismatchError as error:
                first = first or error
        if found:
            loop = min(found, key=lambda loop: (_carry_count(loop), loop.starts))
            for trace, start, steps in zip((short, long), loop.starts, loop.count, strict=True):
                trace.add_loop(index, start, span.period, steps)
            return loop
    assert first is not None
    raise first


def _carry_count(loop: RerolledLoop) -> int:
    return len({(o.position, o.path) for o in loop.operands() if isinstance(o, LoopCarried)})


class _Partition:
    """One way to divide a span into steps.

    Its methods take `columns`: for each capture, the same argument in every step.
    """

    def __init__(self, traces: tuple[Trace, Trace], starts: tuple[int, int], period: int, count: int) -> None:
        self._traces = traces
        self._starts = starts
        self._count = (count, count + 1)
        self._steps = [
            [trace.ops[start + k * period : start + (k + 1) * period] for k in range(steps)]
            for trace, start, steps in zip(traces, starts, self._count, strict=True)
        ]
        self._positions = [
            {op: (k, p) for k, step in enumerate(steps) for p, op in enumerate(step)} for steps in self._steps
        ]

    def loop(self) -> RerolledLoop:
        args, kwargs = [], []
        ops = tuple(self._steps[0][0])
        for p, op in enumerate(ops):
            columns = [[step[p] for step in steps] for steps in self._steps]
            args.append(self._arguments(op, [[o.args for o in column] for column in columns]))
            kwargs.append(self._operands(op, [[dict(o.kwargs) for o in column] for column in columns]))
        return RerolledLoop(self._starts, self._count, ops, tuple(args), tuple(kwargs))

    def _arguments(self, op: Op, columns: list[list[Any]]) -> Any:
        try:
            return self._operands(op, columns)
        except MismatchError as mismatch:
            if op.target not in _COMMUTATIVE or is_value(columns[0][0][1]):
                raise
            try:
                return self._operands(op, [[column[0][::-1], *column[1:]] for column in columns])
            except MismatchError:
                raise mismatch from None

    def _operands(self, op: Op, columns: list[list[Any]]) -> Any:
        """The tree of operands for an argument that may be a list or a dictionary."""
        first = columns[0][0]
        every = [argument for column in columns for argument in column]
        if isinstance(first, (tuple, list)):
            if any(not isinstance(argument, (tuple, list)) or len(argument) != len(first) for argument in every):
                raise MismatchError("takes a different number of tensors in another step", op)
            return type(first)(
                self._operands(op, [[argument[i] for argument in column] for column in columns])
                for i in range(len(first))
            )
        if isinstance(first, dict):
            return {
                key: self._operands(op, [[argument[key] for argument in column] for column in columns]) for key in first
            }
        return self._operand(op, columns)

    def _operand(self, op: Op, columns: list[list[Any]]) -> Operand:
        if not any(is_value(argument) for column in columns for argument in column):
            return _number_operand(op, columns)
        if not all(is_value(argument) for column in columns for argument in column[1:]):
            raise MismatchError("takes a tensor in one step and a number in another", op)
        places = [
            [_place(positions, argument) for argument in column]
            for positions, column in zip(self._positions, columns, strict=True)
        ]
        if all(column[-1] is not None for column in places):
            return self._computed_operand(op, columns, places)
        if any(place is not None for column in places for place in column) or not is_value(columns[0][0]):
            raise MismatchError("takes a value of the loop in some steps only", op)
        outer = [
            [trace.resolve(argument) for argument in column]
            for trace, column in zip(self._traces, columns, strict=True)
        ]
        if all(argument == column[0] for column in outer for argument in column):
            return Invariant(outer[0][0], outer[1][0])
        return _scan_input(op, outer)

    def _computed_operand(
        self, op: Op, columns: list[list[Any]], places: list[list[tuple[int, int] | None]]
    ) -> Local | LoopCarried:
        """An operand that the loop computes, in the same step or in an earlier one."""
        lags = [_lag(column) for column in places]
        last = places[0][-1]
        if lags[0] is None or lags[0] != lags[1] or last is None:
            raise MismatchError(_OTHER_SOURCE, op)
        lag, position = lags[0], last[1]
        paths = {picks(column[k]) for column in columns for k in range(lag, len(column))}
        if len(paths) != 1:
            raise MismatchError("takes a different element in another step", op)
        if lag == 0:
            return Local(position, paths.pop())
        if dtype_of(self._steps[0][0][position]) is None:
            raise MismatchError("passes more than a tensor to the next step", op)
        initial = [tuple(map(trace.resolve, column[:lag])) for trace, column in zip(self._traces, columns, strict=True)]
        return LoopCarried(position, paths.pop(), tuple(map(Invariant, *initial)))


def _place(positions: Mapping[Op, tuple[int, int]], argument: Any) -> tuple[int, int] | None:
    """The step in which, and the position at which, the loop computes a value; None for a value from outside."""
    base = root(argument) if is_value(argument) else None
    return positions.get(base) if isinstance(base, Op) else None


def _lag(column: Sequence[tuple[int, int] | None]) -> int | None:
    """How many steps after it is computed a value is used; None unless it is the same in all steps from that one on."""
    last = column[-1]
    assert last is not None
    lag, position = len(column) - 1 - last[0], last[1]
    expected = [None if k < lag else (k - lag, position) for k in range(len(column))]
    return lag if list(column) == expected and lag < len(column) - 1 else None


def _number_operand(op: Op, columns: list[list[Any]]) -> Invariant | InductionVariable:
    short, long = columns
    if all(type(a) is type(column[0]) and a == column[0] for column in columns for a in column):
        return Invariant(short[0], long[0])
    variable = _arithmetic_progression(short)
    if variable is not None and variable == _arithmetic_progression(long) and _may_be_tensor(op, short[0]):
        return variable
    raise MismatchError(f"takes {short[0]!r} in one step and {short[1]!r} in the next", op)


def _may_be_tensor(op: Op, number: int) -> bool:
    """Whether a tensor, such as what a scan runs over, may stand in the place of the number."""
    places = [i for i, argument in enumerate(op.args) if type(argument) is int and argument == number]
    return len(places) == 1 and takes_tensor(op.target, places[0])


def _arithmetic_progression(column: list[Any]) -> InductionVariable | None:
    if not all(type(number) is int for number in column):
        return None
    strides = {b - a for a, b in pairwise(column)}
    return InductionVariable(column[0], strides.pop()) if len(strides) == 1 else None


def _scan_input(op: Op, columns: list[list[Any]]) -> ScanInput:
    for skipped in (0, 1):
        short, long = (series(column[skipped:]) for column in columns)
        if short is not None and long is not None:
            return ScanInput(short, long, Invariant(columns[0][0], columns[1][0]) if skipped else None)
    raise MismatchError(_OTHER_SOURCE, op)
