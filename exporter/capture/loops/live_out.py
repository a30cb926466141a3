"""Find the live-out values of a loop: results that are used outside it, of every step or of the last few alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch

from .alignment import Invariant, LoopCarried, Operand, RerolledLoop, ScanInput
from .repeats import Trace
from .values import Op, Pick, Program, Series, Stacked, Value, grouped, is_value, operands, values_in

_aten = torch.ops.aten

# Operations on a list of tensors whose length may grow with the sequence; True where each part gets a new dimension.
JOINS: dict[Any, bool] = {_aten.cat.default: False, _aten.stack.default: True}

# A result of up to so many steps before the last is carried to the end; an earlier one is taken from the stack.
_MOST_STEPS_BACK = 3


@dataclass(frozen=True)
class LiveOut:
    """The live-out values of one loop, by the position of the operation that computes them.

    `stacked` are positions of which every step is used, or a step that is not near the end. `steps_back` is, for
    loop-carried positions of which the last steps are used, how many steps before the last the earliest of them is.
    """

    stacked: Sequence[int]
    steps_back: Mapping[int, int]


def find_live_out(
    programs: tuple[Program, Program], traces: tuple[Trace, Trace], loops: Sequence[RerolledLoop]
) -> list[LiveOut]:
    """The live-out values of each loop; an element is near the end where it is as near in both captures."""
    stacked: list[set[int]] = [set() for _ in loops]
    steps_back: list[dict[int, int]] = [{} for _ in loops]
    short, long = (
        map(_loop_result, _used_outside(program, trace, loops, i))
        for i, (program, trace) in enumerate(zip(programs, traces, strict=True))
    )
    for a, b in zip_longest(short, long):
        if a is None:
            continue
        (result, step), loop = a, loops[a[0].loop]
        back = _steps_back(loop, step, None if b is None else b[1])
        if back is not None and back <= _MOST_STEPS_BACK and result.position in _carried(loop):
            steps_back[result.loop][result.position] = max(back, steps_back[result.loop].get(result.position, 0))
        else:
            stacked[result.loop].add(result.position)
    return [LiveOut(sorted(positions), back) for positions, back in zip(stacked, steps_back, strict=True)]


def parts_of(trace: Trace, op: Op) -> list[Series | Value]:
    """The list that a join takes, as series and single values."""
    return grouped([trace.resolve(part) for part in op.args[0]])


def _carried(loop: RerolledLoop) -> set[int]:
    """The positions whose whole result is loop-carried, so that the last one comes out of the scan."""
    return {o.position for o in loop.operands() if isinstance(o, LoopCarried) and not o.path}


def _steps_back(loop: RerolledLoop, short: int | None, long: int | None) -> int | None:
    """How many steps before the last these two are; None unless that is the same in both captures."""
    if short is None or long is None or loop.count[0] - short != loop.count[1] - long:
        return None
    return loop.count[0] - 1 - short


def _loop_result(value: Value) -> tuple[Stacked, int | None] | None:
    """The loop's result that a value is, or is an element of, and of which step; None as step means of all."""
    while isinstance(value, Pick) and not isinstance(value.base, Stacked):
        value = value.base
    if isinstance(value, Pick) and isinstance(value.base, Stacked):
        return value.base, value.index
    return (value, None) if isinstance(value, Stacked) else None


def _used_outside(program: Program, trace: Trace, loops: Sequence[RerolledLoop], capture: int) -> Iterator[Value]:
    """Every value that is used outside the loop that computes it, in the shorter (0) or the longer capture (1)."""
    for op in program.ops:
        if op in trace.members:
            continue
        if op.target in JOINS:
            yield from (part.base if isinstance(part, Series) else part for part in parts_of(trace, op))
        else:
            yield from map(trace.resolve, operands(op))
    for loop in loops:
        for operand in loop.operands():
            yield from (pair[capture] for pair in _outer_values(operand) if is_value(pair[capture]))
    yield from map(trace.resolve, values_in(program.output))


def _outer_values(operand: Operand) -> Iterator[tuple[Any, Any]]:
    """What an operand takes from outside its loop, in the shorter and in the longer capture."""
    if isinstance(operand, Invariant):
        yield operand.short, operand.long
    elif isinstance(operand, LoopCarried):
        yield from ((initial.short, initial.long) for initial in operand.initial)
    elif isinstance(operand, ScanInput):
        yield operand.short.base, operand.long.base
        if operand.first is not None:
            yield operand.first.short, operand.first.long
