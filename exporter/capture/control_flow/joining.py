"""Join what the steps of a loop put in a list, if its size is another one in every step: a tensor that grows by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .branches import Condition, choose_value
from .numbers import as_size, as_tensor
from .operators import carry, final, grow, grown


@dataclass(frozen=True)
class Joined:
    """All items one after the other along `dim` after the last step, and the size of one in a step.

    `parts` are the marks that belong to the loop.
    """

    ended: Tensor
    size: Any
    dim: int
    parts: tuple[Tensor, ...]


def joined(item: Tensor, dim: int, condition: Tensor | None, loop: int, next_number: Callable[[], int]) -> Joined:
    """Within a loop of this number; where there is a condition, only those steps count in which it holds."""
    length, so_far = _begun(item, dim, loop)
    longer = torch.cat([so_far, item], dim)
    if condition is not None:
        longer = choose_value(Condition(condition), longer, so_far, next_number())
    return _after(item, dim, loop, (length, so_far), longer)


def last(item: Tensor, dim: int, loop: int) -> Joined:
    """That of the last step alone; without elements where there was none."""
    return _after(item, dim, loop, _begun(item, dim, loop), item)


def _begun(item: Tensor, dim: int, loop: int) -> tuple[Tensor, Tensor]:
    """The marks of a size and of a tensor of that size, which is empty before the loop."""
    length = carry(torch.zeros((), dtype=torch.int64), loop)
    empty = torch.zeros(_shape(item, dim, 0), dtype=item.dtype)
    return length, grow(empty, _shape(item, dim, as_size(length)), loop)


def _after(item: Tensor, dim: int, loop: int, begun: tuple[Tensor, Tensor], now: Tensor) -> Joined:
    length, so_far = begun
    total = final(length, as_tensor(now.shape[dim]), loop)
    ended = grown(so_far, now, _shape(item, dim, as_size(total)), loop)
    return Joined(ended, item.shape[dim], dim, (total, ended))


def _shape(item: Tensor, dim: int, size: Any) -> list[Any]:
    return [*item.shape[:dim], size, *item.shape[dim + 1 :]]
