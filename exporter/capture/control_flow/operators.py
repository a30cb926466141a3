"""Operators that mark loops and decisions in a captured program, which stays one flat graph until it is lowered.

    i = step(count, loop=0)                     the number of the step, 0 to count - 1
    h = carry(h0, loop=0)                       a loop-carried value at the beginning of a step
    ...                                         the body
    m = grow(m0, shape, loop=0)                 the same for what is longer in every step, with its shape in this one
    m_n = grown(m, m', shape, loop=0)           that after the last step
    n = steps(begin, again, count, loop=0)      how many steps ran, for a loop that a value stops
    h_n = final(h, h', loop=0)                  the carried value after the last step; h' is h after one
    end = close(i, [h_n, ..., n], loop=0)       ties together what belongs to the loop, whether it is read or not
    h_n = leave(h_n, end, loop=0)               the same, as it is read outside
    ys = collect(y, end, count, loop=0)         what all steps put out, [count, *y.shape]

    z = choose(condition, a, b, shape, decision=0)

What depends on `step` and `carry` is the body; everything else is invariant, and is outside without being moved. What
only one side of `choose` needs is a branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import torch
from torch import Tensor

DOMAIN = "rnn_export_flow"


def _define(name: str, schema: str, fake: Callable[..., Tensor], run: Callable[..., Tensor] | None = None) -> None:
    full = f"{DOMAIN}::{name}"
    torch.library.define(full, schema)
    torch.library.register_fake(full)(fake)
    torch.library.impl(full, "CompositeExplicitAutograd")(run or _unrun)


def _unrun(*_: object) -> NoReturn:
    raise NotImplementedError(
        "Marks of loops and decisions stand for what the lowering writes; PyTorch cannot run them."
    )


def _empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Not `like.new_empty`: of a constant PyTorch would take what happens to be in that for known."""
    return torch.empty(shape, dtype=like.dtype, device=like.device)


def _step(count: int, loop: int) -> Tensor:
    return torch.empty((), dtype=torch.int64)


def _carry(initial: Tensor, loop: int) -> Tensor:
    return _empty(initial, initial.shape)


def _run_carry(initial: Tensor, loop: int) -> Tensor:
    """What PyTorch gets that runs a mark of a constant, to know its value: one that has none."""
    return initial.new_empty(initial.shape, device="meta")


def _grow(initial: Tensor, shape: Sequence[int], loop: int) -> Tensor:
    return _empty(initial, tuple(shape))


def _grown(carried: Tensor, after: Tensor, shape: Sequence[int], loop: int) -> Tensor:
    return _empty(carried, tuple(shape))


def _steps(begin: Tensor, again: Tensor, count: int, loop: int) -> Tensor:
    return torch.empty((), dtype=torch.int64)


def _final(carried: Tensor, after: Tensor, loop: int) -> Tensor:
    return _empty(carried, carried.shape)


def _close(step: Tensor, parts: Sequence[Tensor], loop: int) -> Tensor:
    return torch.empty((), dtype=torch.int64)


def _leave(final: Tensor, end: Tensor, loop: int) -> Tensor:
    return _empty(final, final.shape)


def _collect(y: Tensor, end: Tensor, count: int, loop: int) -> Tensor:
    return _empty(y, (count, *y.shape))


def _choose(condition: Tensor, a: Tensor, b: Tensor, shape: Sequence[int], decision: int) -> Tensor:
    return _empty(a, tuple(shape))


_define("step", "(SymInt count, int loop) -> Tensor", _step)
_define("carry", "(Tensor initial, int loop) -> Tensor", _carry, _run_carry)
_define("grow", "(Tensor initial, SymInt[] shape, int loop) -> Tensor", _grow)
_define("grown", "(Tensor carried, Tensor after, SymInt[] shape, int loop) -> Tensor", _grown)
_define("steps", "(Tensor begin, Tensor again, SymInt count, int loop) -> Tensor", _steps)
_define("final", "(Tensor carried, Tensor after, int loop) -> Tensor", _final)
_define("close", "(Tensor step, Tensor[] parts, int loop) -> Tensor", _close)
_define("leave", "(Tensor final, Tensor end, int loop) -> Tensor", _leave)
_define("collect", "(Tensor y, Tensor end, SymInt count, int loop) -> Tensor", _collect)
_define("choose", "(Tensor condition, Tensor a, Tensor b, SymInt[] shape, int decision) -> Tensor", _choose)

_operators = getattr(torch.ops, DOMAIN)
step, carry, steps = _operators.step.default, _operators.carry.default, _operators.steps.default
final, close, leave = _operators.final.default, _operators.close.default, _operators.leave.default
grow, grown = _operators.grow.default, _operators.grown.default
collect, choose = _operators.collect.default, _operators.choose.default


def all_steps(count: int, loop: int) -> Tensor:
    """The mark of a loop that nothing ends: only one that could end may carry another shape in every step."""
    always = torch.ones((), dtype=torch.bool)
    made: Tensor = steps(always, always, count, loop)
    return made


MARKS = frozenset(
    f"{DOMAIN}::{name}"
    for name in ("step", "carry", "grow", "grown", "steps", "final", "close", "leave", "collect", "choose")
)
