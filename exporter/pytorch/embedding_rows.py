"""Say which whole numbers an embedding has rows for, where forward looks up another."""

from __future__ import annotations

from collections.abc import Mapping
from traceback import walk_tb

import torch
from torch import Tensor, nn


def says_rows(error: BaseException, model: nn.Module, tensors: Mapping[str, Tensor]) -> str:
    """The embedding that raised the error, its rows, and the input that has others; empty if none raised it."""
    if not isinstance(error, IndexError):
        return ""
    for frame, _ in walk_tb(error.__traceback__):
        layer, rows = frame.f_locals.get("self"), frame.f_locals.get("input")
        if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and isinstance(rows, Tensor):
            has = f"{_name(layer, model)} has {layer.num_embeddings:,} rows"
            given = next((name for name, tensor in tensors.items() if _has_same_numbers(tensor, rows)), None)
            values = f"0..{layer.num_embeddings - 1}"
            return f"{has}: describe '{given}' as 'in {values}'" if given else f"{has}, {values}"
    return ""


def _name(layer: nn.Module, model: nn.Module) -> str:
    path = next((path for path, each in model.named_modules() if each is layer and path), "")
    return f"{type(layer).__name__} '{path}'" if path else type(layer).__name__


def _has_same_numbers(tensor: Tensor, rows: Tensor) -> bool:
    """Whether they are the same numbers, in whatever order: time may come first in one of them."""
    if tensor.numel() != rows.numel() or tensor.is_floating_point():
        return False
    return torch.equal(tensor.flatten().sort().values.long(), rows.flatten().sort().values.long())
