"""Read a checkpoint without running anything in it, and load it into a model."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import WeightsError, did_you_mean, first_line

_SHOWN = 3


def load_weights(model: nn.Module, path: Path, key: str | None = None) -> tuple[str, ...]:
    """Load a checkpoint into `model`; every tensor of both must match by name and shape.

    A prefix that DataParallel or torch.compile adds to every name is dropped. Returns warnings: numbers that do not fit
    the model's dtype are rounded.

    Args:
        path: a safetensors file, or a file of `torch.save` that holds nothing but tensors and plain data.
        key: the entry of a checkpoint dictionary that holds the tensors.

    Raises:
        WeightsError: the file cannot be read, would run code, or does not fit the model.
    """
    tensors = read_weights(path, key)
    _check_fit(model.state_dict(), tensors, path)
    rounded = [name for name, own in model.state_dict().items() if _loses(tensors[name], own)]
    model.load_state_dict(tensors)
    if not rounded:
        return ()
    given, own = (str(each[rounded[0]].dtype).removeprefix("torch.") for each in (tensors, model.state_dict()))
    return (
        f"Weights do not fit the model's dtype and were changed: {_some(rounded)}, {given} in {path}, {own} in it.",
    )


def read_weights(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name; the arguments and the errors are those of `load_weights`."""
    return _tensors(_read(path), path, key)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise WeightsError(f"There is no file {path}. Give the path of a checkpoint.")
    if path.suffix == ".safetensors" or _begins_as_safetensors(path):
        try:
            return safetensors.torch.load_file(path)
        except (safetensors.SafetensorError, OSError) as error:
            raise WeightsError(f"{path} is not a safetensors file ({first_line(error)}). Save it again.") from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds pickled Python objects, which could run code and are not read. "
            "Save the tensors alone: torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # torch.load raises whatever a damaged archive makes its reader raise
        raise WeightsError(f"{path} is not a PyTorch checkpoint ({type(error).__name__}). Save it again.") from error


def _begins_as_safetensors(path: Path) -> bool:
    """Whether a length and a JSON object follow, which no file of torch.save begins with."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _tensors(content: Any, path: Path, key: str | None) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}. It must hold a dictionary of tensors.")
    if key is not None:
        if key not in content:
            names = ", ".join(map(str, content))
            raise WeightsError(f"{path} has no entry '{key}'.{did_you_mean(key, map(str, content))} It has {names}.")
        content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        held = [str(name) for name, value in content.items() if isinstance(value, Mapping)] if key is None else []
        remedy = f'Name the entry that does: `weights_key="{held[0]}"`.' if held else "Save model.state_dict() alone."
        raise WeightsError(f"{path} does not hold tensors alone. {remedy}")
    return _unprefixed({str(name): value for name, value in content.items()})


def _unprefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names without what DataParallel and torch.compile put before every one."""
    for prefix in ("module.", "_orig_mod."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _unprefixed({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors


def _check_fit(expected: Mapping[str, Tensor], given: Mapping[str, Tensor], path: Path) -> None:
    missing = [name for name in expected if name not in given]
    unexpected = [name for name in given if name not in expected]
    misshaped = [
        f"{name} {list(given[name].shape)} instead of {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    faults = [
        f"{word} {_some(names)}"
        for word, names in (("missing", missing), ("unexpected", unexpected), ("misshaped", misshaped))
        if names
    ]
    if faults:
        raise WeightsError(
            f"{path} does not fit the model: {'; '.join(faults)}. "
            "Build the model with the sizes it was trained with, or give its own checkpoint."
        )


def _loses(given: Tensor, own: Tensor) -> bool:
    """Whether numbers change when they take the other's dtype."""
    if given.dtype == own.dtype:
        return False
    return not torch.equal(given.to(own.dtype).to(given.dtype).nan_to_num(), given.nan_to_num())


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
