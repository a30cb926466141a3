"""What a caller asks to export, and how it is told of progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..spec.artifact import Source
from ..spec.signature import Signature
from .made_cases import MadeCases

Array = NDArray[np.generic]
Example = Mapping[str, Tensor | Array] | Sequence[Tensor | Array]
# Called with a stage's name, and how much of it is done out of how much.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ExportRequest:
    """A model to export, its signature, where it came from, and real inputs or what makes some, if there are any."""

    model: nn.Module
    signature: Signature
    example: Example | None = None
    source: Source | None = None
    made: MadeCases | None = None


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""
