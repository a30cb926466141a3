"""The protocol of a loaded artifact, and what sessions around another one share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .placement import Placement

Array = NDArray[np.generic]


class Session(Protocol):
    """A model that a runtime has loaded."""

    @property
    def hides_nan(self) -> str:
        """Names a kernel in use that is known to treat NaN otherwise than PyTorch; empty if there is none."""

    @property
    def spreads_nan(self) -> bool:
        """Whether that kernel lets one sequence's NaN or infinity reach every other sequence of a batch."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name; raises whatever the runtime raises."""

    def placement(self) -> Placement:
        """Which provider was asked for, and what ran where in the session's first run."""


@dataclass(frozen=True)
class Around:
    """Feeds another session in a way of its own; kernels, and where they run, are that one's."""

    session: Session

    @property
    def hides_nan(self) -> str:
        return self.session.hides_nan

    @property
    def spreads_nan(self) -> bool:
        return self.session.spreads_nan

    def placement(self) -> Placement:
        return self.session.placement()
