"""Load a checkpoint into a model without running anything in it: files are read, the tensors that fit are found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from .files import read_checkpoint
from .fit import find_weights, listed

__all__ = ["load_weights", "read_weights"]


def load_weights(model: nn.Module, path: Path, key: str | None = None) -> tuple[str, ...]:
    """Load a checkpoint into `model`; every tensor of the model must be in it by name and shape.

    The tensors may lie in an entry of the checkpoint, and have one prefix in common, as Lightning, DataParallel and
    torch.compile put before every name. Returns what is worth saying: the entry and the prefix that were taken, what
    was left out, and numbers that do not fit the model's dtype and are rounded.

    Args:
        path: a safetensors file, its index or a folder that holds either; a file of `torch.save`, or numpy's .npz.
        key: the entry of a checkpoint dictionary that holds the tensors, or the prefix that they have.

    Raises:
        WeightsError: the file cannot be read, would run code, or does not fit the model.
    """
    content = read_checkpoint(path)
    found = find_weights(content.entries, model.state_dict(), path, key)
    rounded = [name for name, own in model.state_dict().items() if _loses(found.tensors[name], own)]
    model.load_state_dict(found.tensors)
    return (*found.notes, *content.notes, *_rounding(model, found.tensors, rounded, path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of ours, by name; the errors are those of `load_weights`."""
    return dict(read_checkpoint(path).entries)


def _rounding(model: nn.Module, tensors: dict[str, Tensor], rounded: Sequence[str], path: Path) -> tuple[str, ...]:
    if not rounded:
        return ()
    given, own = (str(each[rounded[0]].dtype).removeprefix("torch.") for each in (tensors, model.state_dict()))
    return (
        f"Weights do not fit the model's dtype and were changed: {listed(rounded)}, {given} in {path}, {own} in it.",
    )


def _loses(given: Tensor, own: Tensor) -> bool:
    """Whether numbers change when they take the other's dtype."""
    if given.dtype == own.dtype:
        return False
    return not torch.equal(given.to(own.dtype).to(given.dtype).nan_to_num(), given.nan_to_num())
