"""Make new cases while a file is being checked: to shrink one that fails, and to try further sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..pytorch.samples import Case
from .drawing import Drawing
from .expected import Expected, Standards, expect_inputs, judged_by, measure_standards
from .reference import Oracle

Array = NDArray[np.generic]


@dataclass(frozen=True)
class CaseGenerator:
    """Makes new cases and runs them through PyTorch: a model, in evaluation mode, and how its cases are drawn.

    Their outputs are judged by `standards`, those of the cases that were tried before.
    """

    oracle: Oracle
    drawing: Drawing
    standards: Standards

    @classmethod
    def of(cls, model: nn.Module, drawing: Drawing, expected: Sequence[Expected]) -> CaseGenerator:
        return cls(Oracle(model, drawing.signature), drawing, measure_standards(expected))

    def draw(self, case: Case) -> Expected:
        return judged_by(self.standards, self.drawing.expect_case(self.oracle, case))

    def feed(self, case: Case, inputs: Mapping[str, Array]) -> Expected:
        return judged_by(self.standards, expect_inputs(self.oracle, self.drawing.signature, case, inputs))
