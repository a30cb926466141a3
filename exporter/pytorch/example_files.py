"""Read a user's example from a file: .npz, .npy, .safetensors, or .pt of tensors; nothing in it is run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.numpy
from torch import Tensor

from ..errors import InputError, first_line, type_in_words
from .checkpoint.inert import read_inert
from .proposal import Array

ENDINGS = (".npz", ".npy", ".safetensors", ".pt", ".pth")


def read_example(path: Path) -> Mapping[str, Array] | tuple[Array, ...]:
    """The arrays of an example: by name where the file has names, else in the order of forward's arguments.

    Raises:
        InputError: the file is not there, of no such form, damaged, or holds something else than tensors.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}. Give an example as {', '.join(ENDINGS[:-1])}.")
    if path.suffix not in ENDINGS:
        raise InputError(f"{path} is no example that can be read. Give one as {', '.join(ENDINGS[:-1])}.")
    try:
        return _arrays(_read(path), path)
    except (OSError, ValueError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}). Save the example again.") from error
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({first_line(error)}). Save it again.") from error


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return safetensors.numpy.load_file(path)
    if path.suffix in (".npz", ".npy"):
        loaded = numpy.load(path, allow_pickle=False)
        return {name: loaded[name] for name in loaded.files} if path.suffix == ".npz" else loaded
    return read_inert(path).content


def _arrays(content: Any, path: Path) -> Mapping[str, Array] | tuple[Array, ...]:
    """By name, those of a nested one dotted as in a signature; or in order, nested ones after one another."""
    if isinstance(content, Mapping):
        return dict(_named(content, "", path))
    return tuple(array for _, array in _named({"": content}, "", path))


def _named(content: Mapping[Any, Any], prefix: str, path: Path) -> Iterator[tuple[str, Array]]:
    for name, value in content.items():
        if isinstance(value, list | tuple):
            yield from _named(dict(enumerate(value)), f"{prefix}{name}.", path)
        elif isinstance(value, Mapping):
            yield from _named(value, f"{prefix}{name}.", path)
        else:
            yield f"{prefix}{name}", _array(value, f"{path}'s '{prefix}{name}'" if name else str(path))


def _array(value: Any, what: str) -> Array:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, numpy.ndarray):
        return value
    raise InputError(f"{what} is {type_in_words(value)}. An example holds tensors alone, by name or in order.")
