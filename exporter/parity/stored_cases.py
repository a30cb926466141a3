"""Are the cases that a bundle stores what PyTorch computes? Programs without PyTorch compare with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InterfaceError
from ..runtimes.placement import Placement
from .check import check_case
from .expected import Expected, measure_baselines
from .fault import CaseGenerator

Array = NDArray[np.generic]


@dataclass(frozen=True)
class _Recorded:
    """A session that answers what is stored."""

    outputs: Mapping[str, Array]
    hides_nan: str = ""
    spreads_nan: bool = False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(self.outputs)

    def placement(self) -> Placement:
        return Placement("cpu", "")


def check_stored(file: str, stored: Sequence[Expected], generator: CaseGenerator) -> None:
    """Run the inputs of the stored cases through PyTorch, and judge what is stored as a runtime would be judged.

    Raises:
        InterfaceError: outputs or references are not what PyTorch computes.
    """
    fresh = [generator.feed(item.case, item.inputs) for item in stored]
    baselines = measure_baselines(fresh)
    for item, again in zip(stored, fresh, strict=True):
        for what, outputs in _answers(item).items():
            result = check_case(_Recorded(outputs), again, baselines)
            if result.verdict == "FAIL":
                wrong = next((f"'{each.output}' {each.reason}" for each in result.outputs if not each.passed), "")
                raise InterfaceError(
                    f"{file} does not hold what PyTorch computes: in case {item.case.name} the {what} {wrong}. "
                    "Export the model again."
                )


def _answers(item: Expected) -> dict[str, Mapping[str, Array]]:
    assert item.reference is not None
    eager, exact = item.reference.eager, item.reference.exact
    if exact is None:
        return {"output": eager}
    return {"output": eager, "reference": {name: exact[name].astype(eager[name].dtype) for name in eager}}
