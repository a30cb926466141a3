"""What is needed of a loop outside it: the results of every step, or of the last ones alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch

from .alignment import Invariant, LoopCarried, Operand, RerolledLoop, ScanInput, Trace, operands_of
from .values import Op, Pick, Program, Series, Steps, Value, grouped, is_value, operands, values_in

_aten = torch.ops.aten

# Operations on a list of tensors whose length may grow with the sequence; True where each part gets a new dimension.
JOINS: dict[Any, bool] = {_aten.cat.default: False, _aten.stack.default: True}

# How many steps before the last a value may be that a loop still carries at its end.
_BEHIND = 3


@dataclass(frozen=True)
class Needs:
    """What is needed of a loop outside: results of every step (`stacked` positions), and of the last ones.

    `behind` says, for positions that are carried, how many steps before the last the earliest needed result is.
    """

    stacked: Sequence[int]
    behind: Mapping[int, int]


def find_needs(
    programs: tuple[Program, Program], sides: tuple[Trace, Trace], loops: Sequence[RerolledLoop]
) -> list[Needs]:
    """What each loop must put out, judged by both captures: an element may be counted from either end."""
    stacked: list[set[int]] = [set() for _ in loops]
    behind: list[dict[int, int]] = [{} for _ in loops]
    short, long = (
        _outer_values(program, side, loops, i) for i, (program, side) in enumerate(zip(programs, sides, strict=True))
    )
    for a, b in zip_longest(map(_of_loop, short), map(_of_loop, long)):
        if a is None:
            continue
        steps, loop = a[0], loops[a[0].loop]
        before = _before_last(loop, a[1], None if b is None else b[1])
        if before is not None and before <= _BEHIND and steps.position in finals(loop):
            behind[steps.loop][steps.position] = max(before, behind[steps.loop].get(steps.position, 0))
        else:
            stacked[steps.loop].add(steps.position)
    return [Needs(sorted(positions), kept) for positions, kept in zip(stacked, behind, strict=True)]


def finals(loop: RerolledLoop) -> set[int]:
    """The positions whose last result a loop puts out as the final value of what it carries."""
    return {o.position for o in operands_of((loop.args, loop.kwargs)) if isinstance(o, LoopCarried) and not o.path}


def _before_last(loop: RerolledLoop, short: int | None, long: int | None) -> int | None:
    """How many steps before the last one these are, if as many in both captures."""
    if short is None or long is None or loop.count[0] - short != loop.count[1] - long:
        return None
    return loop.count[0] - 1 - short


def parts_of(side: Trace, op: Op) -> list[Series | Value]:
    """The list that an operation joins, as series and single values."""
    return grouped([side.outside(part) for part in op.args[0]])


def _of_loop(value: Value) -> tuple[Steps, int | None] | None:
    """The steps that a value is taken from, and of which step it is where it is of one alone."""
    while isinstance(value, Pick) and not isinstance(value.base, Steps):
        value = value.base
    if isinstance(value, Pick) and isinstance(value.base, Steps):
        return value.base, value.index
    return (value, None) if isinstance(value, Steps) else None


def outer_values(operand: Operand) -> Iterator[tuple[Any, Any]]:
    """What an operand takes from outside the loop, in the shorter and in the longer capture."""
    if isinstance(operand, Invariant):
        yield operand.short, operand.long
    elif isinstance(operand, LoopCarried):
        yield from ((fixed.short, fixed.long) for fixed in operand.initial)
    elif isinstance(operand, ScanInput):
        yield operand.short.base, operand.long.base
        yield from () if operand.first is None else ((operand.first.short, operand.first.long),)


def _outer_values(program: Program, side: Trace, loops: Sequence[RerolledLoop], capture: int) -> Iterator[Value]:
    """Every value that something outside its loop takes, in one of the captures."""
    for op in program.ops:
        if op in side.members:
            continue
        if op.target in JOINS:
            yield from (part.base if isinstance(part, Series) else part for part in parts_of(side, op))
        else:
            yield from map(side.outside, operands(op))
    for loop in loops:
        for operand in operands_of((loop.args, loop.kwargs)):
            yield from (pair[capture] for pair in outer_values(operand) if is_value(pair[capture]))
    yield from map(side.outside, values_in(program.output))
