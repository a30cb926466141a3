"""`Session`, the protocol of everything that runs a model file, and the options of an execution provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .placement import Placement

Array = NDArray[np.generic]


@dataclass(frozen=True)
class ProviderOptions:
    """How to start an execution provider.

    `options` are the provider's own, such as `{"use_tf32": "1"}`. `library` is a plug-in that holds the provider. With
    `strict` ONNX Runtime refuses a model of which any node, even a loop or the size of a tensor, would run on the CPU.
    `threads` are those on the CPU; 0 leaves it to ONNX Runtime, which takes one for each core.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    library: Path | None = None
    strict: bool = False
    threads: int = 0

    @property
    def tf32(self) -> bool:
        """Whether CUDA may compute products of float32 in TensorFloat-32."""
        return self.options.get("use_tf32") == "1"

    @property
    def plain(self) -> bool:
        """Whether every option has its default."""
        return self == ProviderOptions()


class Session(Protocol):
    """A model that a runtime has loaded."""

    @property
    def hides_nan(self) -> str:
        """A kernel in use that is known to treat NaN differently from PyTorch; empty if there is none."""

    @property
    def spreads_nan(self) -> bool:
        """Whether that kernel lets one sequence's NaN or infinity reach every other sequence of a batch."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; exceptions are the runtime's own."""

    def placement(self) -> Placement:
        """The requested provider, and what ran where in the session's first run."""


@dataclass(frozen=True)
class SessionWrapper:
    """Runs another session in its own way; the kernels and their placement are the other's."""

    session: Session

    @property
    def hides_nan(self) -> str:
        return self.session.hides_nan

    @property
    def spreads_nan(self) -> bool:
        return self.session.spreads_nan

    def placement(self) -> Placement:
        return self.session.placement()
