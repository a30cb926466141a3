"""Read a checkpoint in whichever form it lies on disk, and say what a file is that is none."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.torch
import torch

from ...errors import WeightsError, first_line, with_article
from .inert import StandIn, read_inert

_LFS = b"version https://git-lfs.github.com/spec/"

# What every pickle begins with.
_PICKLE = b"\x80"

# In the order in which they are looked for in a folder, as Hugging Face's hub names them.
_IN_FOLDERS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds, by name, tensors or more entries, and what is to be said of it."""

    entries: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """What the file or folder holds.

    Raises:
        WeightsError: it is not there, damaged, no checkpoint, or would run code.
    """
    if path.is_dir():
        return read_checkpoint(_in_folder(path))
    if not path.is_file():
        raise WeightsError(f"There is no file {path}. Give the path of a checkpoint.")
    with path.open("rb") as file:
        begin = file.read(len(_LFS))
    if begin == _LFS:
        raise WeightsError(
            f"{path} is a pointer of Git LFS, and not the file itself. Run `git lfs pull` in its repository."
        )
    if path.name.endswith(".index.json"):
        return _read_shards(path)
    if path.suffix == ".safetensors" or begin[8:9] == b"{":
        return _read_safetensors(path)
    return _read_npz(path) if path.suffix == ".npz" else _read_pytorch(path)


def _in_folder(folder: Path) -> Path:
    there = [folder / name for name in _IN_FOLDERS if (folder / name).is_file()]
    lone = sorted(folder.glob("*.safetensors"))
    if not there and len(lone) != 1:
        raise WeightsError(
            f"{folder} is a folder without {_IN_FOLDERS[0]} or {_IN_FOLDERS[2]}. Give the path of the checkpoint in it."
        )
    return (there or lone)[0]


def _read_shards(index: Path) -> Checkpoint:
    """All the files that an index names, each of which must lie beside it."""
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index} is no index of a checkpoint ({first_line(error)}). Save it again.") from error
    if strays := [name for name in names if not isinstance(name, str) or Path(name).name != name]:
        raise WeightsError(f"{index} names {strays[0]!r}, which is not beside it. Save the checkpoint again.")
    shards = [read_checkpoint(index.parent / name) for name in names]
    entries = {name: value for shard in shards for name, value in shard.entries.items()}
    return Checkpoint(entries, tuple(note for shard in shards for note in shard.notes))


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        return Checkpoint(safetensors.torch.load_file(path))
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file ({first_line(error)}). Save it again.") from error


def _read_npz(path: Path) -> Checkpoint:
    try:
        with numpy.load(path, allow_pickle=False) as arrays:
            return Checkpoint({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    except (ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is not a file of numpy arrays ({first_line(error)}). Save it again.") from error


def _read_pytorch(path: Path) -> Checkpoint:
    if _is_torchscript(path):
        raise WeightsError(
            f"{path} is a TorchScript archive, which holds a whole model. Export it as it is, with {path} as the "
            "model, or give a checkpoint of tensors."
        )
    try:
        read = read_inert(path)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path) and path.read_bytes()[:1] != _PICKLE:
            raise WeightsError(f"{path} is not a PyTorch checkpoint. Give a file of weights.") from error
        raise WeightsError(
            f"{path} holds pickled Python objects, which could run code and are not read. "
            "Save the tensors alone: torch.save(model.state_dict(), path)."
        ) from error
    except Exception as error:  # torch.load raises whatever a damaged archive makes its reader raise
        raise WeightsError(f"{path} is not a PyTorch checkpoint ({type(error).__name__}). Save it again.") from error
    return Checkpoint(_entries(read.content, path), _not_read(read.stood_for, path))


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _entries(content: Any, path: Path) -> Mapping[str, Any]:
    if isinstance(content, StandIn) and content.is_module:
        raise WeightsError(
            f"{path} is a whole pickled module ({content.stands_for}), which cannot be read without running code. "
            f"Where its code is, save its tensors alone: model = torch.load({str(path)!r}, weights_only=False); "
            "torch.save(model.state_dict(), 'weights.pt')."
        )
    if not isinstance(content, Mapping):
        name = content.stands_for if isinstance(content, StandIn) else type(content).__name__
        raise WeightsError(f"{path} holds {with_article(name)}. It must hold a dictionary of tensors.")
    return {str(name): value for name, value in content.items()}


def _not_read(names: Sequence[str], path: Path) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (f"{path} holds Python objects beside tensors ({names[0]}{more}), which were not read.",)
