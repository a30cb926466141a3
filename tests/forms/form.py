"""A form that a model may take: how to build it, and what goes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

X = {"x": "float32[N, T, 3]"}
TIME_FIRST = {"x": "float32[T, N, 3]"}
TOKENS = {"tokens": "int64[N, T] in 0..9"}

FORMS: list[Form] = []


@dataclass(frozen=True)
class Form:
    """A named model, built by `make`, with its inputs and states."""

    make: Callable[[], nn.Module]
    inputs: Mapping[str, str]
    states: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.make.__module__.rpartition('.')[2]}.{self.make.__name__}"


def form(inputs: Mapping[str, str], states: Mapping[str, str] | None = None) -> Callable[[Any], Any]:
    """Add a class or factory to `FORMS`."""

    def add(make: Any) -> Any:
        FORMS.append(Form(make, inputs, states or {}))
        return make

    return add
