"""What containers and plain objects hold, by key: lists, dictionaries, objects of a user's or library's own class."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

_CONTAINERS = (list, tuple, dict, deque)
_OPAQUE = (Tensor, nn.Module, type, ModuleType, FunctionType, MethodType, enum.Enum, torch.Generator)
# Objects of these packages are no memory of a model; what a capture notes is not to be undone with what a call writes.
_FOREIGN = (
    "builtins",
    "types",
    "typing",
    "inspect",
    "torch",
    "numpy",
    "logging",
    "threading",
    "functools",
    "re",
    "rnn_export",
)


def items(value: Any) -> Mapping[Any, Any]:
    """What is in a container or object, by key or attribute; nothing for any other value."""
    if isinstance(value, dict):
        return value
    if isinstance(value, _CONTAINERS):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return dict(vars(value)) if is_plain_object(value) else {}


def is_plain_object(value: Any) -> bool:
    """Whether a value is an object with attributes that forward may set, of a class that is no part of a framework."""
    package = type(value).__module__.partition(".")[0]
    is_open = isinstance(getattr(value, "__dict__", None), dict)
    return is_open and not isinstance(value, (*_OPAQUE, *_CONTAINERS)) and package not in _FOREIGN


def reachable(value: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """A value and all that is in it, each once; `seen` keeps what was, by identity."""
    pending = [value]
    while pending:
        each = pending.pop()
        if id(each) not in seen:
            seen[id(each)] = each
            yield each
            pending += items(each).values()
