"""Are the cases that a bundle stores what PyTorch computes? Programs without PyTorch compare with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InterfaceError
from ..pytorch.samples import ORDINARY
from ..runtimes.placement import Placement
from ..spec.signature import Signature
from .check import check_case
from .compare import with_bound
from .expected import Expected, expect_inputs, judged_by, measure_standards
from .reference import Oracle

Array = NDArray[np.generic]

# Other cases and another machine may make limits this many times as wide.
_WIDE = 32.0


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


def check_stored(
    file: str, stored: Sequence[tuple[Sequence[Expected], float]], oracle: Oracle, signature: Signature
) -> None:
    """Run the inputs of the stored cases through PyTorch, and judge what is stored as a runtime would be judged.

    Args:
        stored: of each model file the cases, which are the same but for their limits, and what reduced-precision
            weights may cost, relative to an output's scale.

    Raises:
        InterfaceError: outputs, references or limits are not what PyTorch computes.
    """
    fresh = [expect_inputs(oracle, signature, item.case, item.inputs) for item in stored[0][0]]
    # Of the few stored cases most are short, where PyTorch may err far less than in the many of the export.
    usual, widest = measure_standards(fresh), measure_standards(fresh, np.max)
    judged = [(judged_by(usual, item), judged_by(widest, item)) for item in fresh]
    for item, (again, wide), bound in (
        (*pair, bound) for cases, bound in stored for pair in zip(cases, judged, strict=True)
    ):
        wrong = _wrong_answers(item, again) or _wide_limits(item, wide, bound)
        if wrong:
            raise InterfaceError(
                f"{file} does not hold what PyTorch computes: in case {item.case.name} {wrong}. Export the model again."
            )


def _wrong_answers(stored: Expected, again: Expected) -> str:
    for what, outputs in _answers(stored).items():
        result = check_case(_Recorded(outputs), again)
        if result.verdict == "FAIL":
            return next(
                (f"the {what} '{each.output}' {each.reason}" for each in result.outputs if not each.passed), what
            )
    return ""


def _wide_limits(stored: Expected, again: Expected, bound: float) -> str:
    # Those of other values depend on what is usual over many cases, of which only a few are stored.
    for output, tolerance in again.tolerances.items() if stored.case.values in ORDINARY else ():
        if output in stored.tolerances:
            wide = stored.tolerances[output].limit > _WIDE * with_bound(tolerance, bound).limit
            if wide.any():
                return f"the limits of '{output}' are too wide"
    return ""


def _answers(item: Expected) -> dict[str, Mapping[str, Array]]:
    assert item.reference is not None
    eager, exact = item.reference.eager, item.reference.exact
    if exact is None:
        return {"output": eager}
    return {"output": eager, "reference": {**eager, **{name: exact[name].astype(eager[name].dtype) for name in exact}}}
