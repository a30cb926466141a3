"""What is said of one third-party model: where it is from, how it is built and called, what is hard, what to expect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

Outcome = Literal["right", "wrong", "refused", "cannot run"]


@dataclass(frozen=True)
class Result:
    """What came of one model in one way; `how` says which form of the way it was, `reason` why it is not right."""

    outcome: Outcome
    reason: str = ""
    how: str = ""


@dataclass(frozen=True, eq=False)
class Model:
    """One model as its package ships it.

    `inputs` are those of a `Signature`; `example` makes real ones where random values will not do. `gap` says why
    rnn-export does not export it yet; where that is empty, the export must be right. One that is `stateful` is called
    again and again, and what it keeps becomes states.
    """

    package: str
    name: str
    hard: str
    build: Callable[[], nn.Module]
    inputs: Mapping[str, str]
    example: Callable[[], dict[str, Tensor]] | None = None
    gap: str = ""
    stateful: bool = False

    @property
    def key(self) -> str:
        return f"{self.package}: {self.name}{' (decoding)' if self.stateful else ''}"

    def make_example(self) -> dict[str, Tensor] | None:
        torch.manual_seed(1)
        return self.example() if self.example else None


class Pinned(nn.Module):
    """A model with those arguments fixed that are not tensors, as a script that uses it would have them."""

    def __init__(self, model: nn.Module, **fixed: Any) -> None:
        super().__init__()
        self.model = model
        self._fixed = fixed

    def forward(self, x: Tensor) -> Any:
        return self.model(x, **self._fixed)
