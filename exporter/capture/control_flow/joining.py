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


def joined(
    item: Tensor, dim: int, condition: Tensor | None, loop: int, next_number: Callable[[], int]
) -> Joined:
    """Within a loop of this number; where there is a condition, only those steps count in which it holds."""

    def shape(size: Any) -> list[Any]:
        return [*item.shape[:dim], size, *item.shape[dim + 1 :]]

    length = carry(torch.zeros((), dtype=torch.int64), loop)
    so_far = grow(torch.zeros(shape(0), dtype=item.dtype), shape(as_size(length)), loop)
    longer = torch.cat([so_far, item], dim)
    if condition is not None:
        longer = choose_value(Condition(condition), longer, so_far, next_number())
    total = final(length, as_tensor(longer.shape[dim]), loop)
    ended = grown(so_far, longer, shape(as_size(total)), loop)
    return Joined(ended, item.shape[dim], dim, (total, ended))
