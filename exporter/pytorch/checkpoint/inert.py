"""Read what torch.save has written with a stand-in for each object in it that is no tensor and no plain data.

PyTorch's own reader of weights builds nothing but what it has been told of. It is told of stand-ins here, one for each
name that the file asks for: they take what they are given and do nothing, and no code of that name is imported or run.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...torch_internals.modules import exclusive


class StandIn:
    """In place of an object of the class, or of the function's result, that `stands_for` names."""

    stands_for = ""
    state: Any = None

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def is_module(self) -> bool:
        """Whether it stands for an `nn.Module`."""
        return isinstance(self.state, Mapping) and "_parameters" in self.state


# Containers that are filled after they are made.
_EMPTY: Mapping[str, Callable[..., Any]] = {
    "collections.defaultdict": lambda *_: {},
    "collections.deque": lambda *_: [],
}


@dataclass(frozen=True)
class Inert:
    """A file's content, and the names of the objects in it for which there are stand-ins."""

    content: Any
    stood_for: Sequence[str] = ()


def read_inert(path: Path) -> Inert:
    """What the file holds; raises what `torch.load` raises where even stand-ins do not make it readable."""
    names = _foreign_names(path)
    stand_ins: list[Any] = [(_EMPTY.get(name) or _stand_in(name), name) for name in names]
    # What PyTorch's reader has been told of is a setting of the whole process.
    with exclusive(), torch.serialization.safe_globals(stand_ins):
        content = torch.load(path, map_location="cpu", weights_only=True)
    return Inert(content, [name for name in names if name not in _EMPTY])


def _stand_in(name: str) -> type[StandIn]:
    return type("StandIn", (StandIn,), {"stands_for": name})


def _foreign_names(path: Path) -> list[str]:
    """What the file names beyond tensors and plain data; nothing of a file older than PyTorch 1.6's format."""
    if not zipfile.is_zipfile(path):
        return []
    return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
