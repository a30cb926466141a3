"""What float16 costs: a float16 file and PyTorch in float16, both beside the float32 model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from ..pytorch.evaluation import evaluating
from ..pytorch.job import ExportJob
from ..pytorch.request import ExportRequest
from ..runtimes.placement import Placement
from ..runtimes.session import Session
from ..spec.artifact import Artifact
from ..spec.options import UNBOUNDED, OutputError, Precision
from .check import check
from .expected import Expected, expect_inputs, judged_by, measure_standards
from .reference import Oracle
from .report import Report

Array = NDArray[np.generic]


def check_cost(
    session: Session, job: ExportJob, original: ExportRequest, lowered: Sequence[Expected], artifact: Artifact
) -> tuple[Report, ...]:
    """Run a float16 file, and PyTorch in float16, on what the float32 model is given; judge both by it and the bound.

    ONNX Runtime's CPU provider casts to float32 and back, and rounds less often than a runtime that computes in float16
    does, as PyTorch does. So the file alone would show too little.

    Args:
        session: of the file, fed in one pass.
        job: the float16 model.
        original: the float32 model and its inputs.
        lowered: the cases, with float16 inputs; those that no bound holds for are left out.
    """
    assert artifact.precision is not None
    finite = [item for item in lowered if item.case.values not in UNBOUNDED and item.reference is not None]
    with evaluating(original.model):
        oracle = Oracle(original.model, original.signature.with_outputs(job.signature.outputs))
        found = [expect_inputs(oracle, original.signature, item.case, _widened(item.inputs)) for item in finite]
    standards = measure_standards(found)
    expected = [judged_by(standards, item) for item in found]
    compare = partial(check, expected=expected, traced=job.traced, seed=job.seed, bound=artifact.precision.bound)
    eager = Oracle(job.model, job.signature).eager
    return (
        compare(
            _Widened(session.run), artifact="The float16 file, beside the float32 model,", runtime=artifact.runtime
        ),
        compare(_Widened(eager), artifact="The model in float16, beside itself in float32,", runtime="PyTorch"),
    )


class _Widened:
    """A program that takes and gives float16, as a session that takes and gives float32."""

    hides_nan = ""
    spreads_nan = False

    def __init__(self, run: Callable[[Mapping[str, Array]], dict[str, Array]]) -> None:
        self._run = run

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return _widened(self._run({name: _as(array, np.float32, np.float16) for name, array in inputs.items()}))

    def placement(self) -> Placement:
        return Placement("", "")


def _widened(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: _as(array, np.float16, np.float32) for name, array in arrays.items()}


def _as(array: Array, one: type[Any], other: type[Any]) -> Array:
    return array.astype(other) if array.dtype == one else array


def with_measured_error(precision: Precision, reports: Sequence[Report]) -> Precision:
    """`precision` with the largest errors in the reports; cases that the bound does not apply to are not counted."""
    found: dict[str, OutputError] = {}
    cases = [case for report in reports for case in report.cases if case.case.values not in UNBOUNDED]
    for result in (output for case in cases for output in case.outputs):
        before = found.get(result.output, OutputError(0.0, 0.0, 0.0))
        relative = result.error / result.scale if result.scale else 0.0
        found[result.output] = OutputError(
            max(before.max, result.error), max(before.relative, relative), max(before.vs_eager, result.vs_eager)
        )
    return replace(precision, error=found)
