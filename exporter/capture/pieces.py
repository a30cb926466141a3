"""A piece of a tensor whose length is a computed value: PyTorch takes the length of such a slice for one of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from .operators import DOMAIN

# Where a slice without an end stops.
END = (1 << 63) - 1


@torch.library.custom_op(f"{DOMAIN}::piece", mutates_args=())
def piece(x: Tensor, dim: int, start: int, stop: int, size: int) -> Tensor:
    """`x[start:stop]` along a dimension, which has this size."""
    index = [slice(None)] * dim + [slice(start, stop)]
    taken = x[tuple(index)].clone()
    if taken.shape[dim] != size:
        raise ValueError(f"A slice of {size} elements has {taken.shape[dim]}.")
    return taken


@piece.register_fake
def _(x: Tensor, dim: int, start: int, stop: int, size: int) -> Tensor:
    return x.new_empty((*x.shape[:dim], size, *x.shape[dim + 1 :]))
