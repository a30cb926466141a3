"""What a model does with its inputs: the operators that PyTorch runs, one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ..torch_internals.modules import TorchDispatchMode
from .run import run_eager


@dataclass(frozen=True, order=True)
class Way:
    """How many operators were run, and a number that tells one sequence of them from another."""

    operators: int
    sequence: int


def way_through(model: nn.Module, tensors: Mapping[str, Tensor]) -> Way:
    """The way that a model in evaluation mode takes with these inputs; what it raises is raised."""
    counter = _Counter()
    with counter:
        run_eager(model, tensors)
    return Way(counter.operators, counter.sequence)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators = 0
        self.sequence = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.operators += 1
        self.sequence = hash((self.sequence, func))
        return func(*args, **(kwargs or {}))
