"""Run every case in a runtime, judge its outputs, and report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import UnavailableError, first_line
from ..pytorch.ranged_floats import SATURATING
from ..pytorch.samples import ORDINARY
from ..runtimes.session import Session
from ..spec.dims import Dim
from .compare import NonfiniteMask, OutputResult, judge
from .expected import Expected, output_dims, what_is_shown
from .report import CaseResult, Report
from .unread import NOT_FINITE, with_other, without_unread

Array = NDArray[np.generic]


def check(
    session: Session,
    expected: Sequence[Expected],
    *,
    artifact: str,
    runtime: str,
    traced: Mapping[str, int],
    seed: int,
    bound: float = 0.0,
    states: Collection[str] = (),
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run every case in a session and judge it.

    Args:
        artifact: the file's name, for the report.
        runtime: its name, for the report.
        traced: the sizes that the model was captured at.
        seed: that the cases were drawn from.
        bound: what reduced-precision weights may cost, relative to each output's scale.
        states: the outputs that the model keeps from call to call, and does not return.
        advance: called after each case with how many are done.
    """
    results = []
    for item in expected:
        results.append(check_case(session, item, bound))
        advance(len(results))
    shown = what_is_shown(expected, states)
    results = _with_notes(results, shown.weak)
    exact = all(item.reference is None or item.reference.exact is not None for item in expected)
    reference: Literal["float64", "tolerance"] = "float64" if exact else "tolerance"
    # Time is the symbol T, or the first.
    step = first_wrong_step(output_dims(expected), results, "T" if "T" in traced else next(iter(traced), ""))
    return Report(
        artifact,
        runtime,
        session.placement(),
        reference,
        seed,
        dict(traced),
        results,
        step,
        bound,
        doubt=shown.doubt,
    )


def _with_notes(results: Sequence[CaseResult], weak: Collection[str]) -> list[CaseResult]:
    note = "PyTorch's own rounding errors are nearly as large as the values here, so that this shows little"
    return [
        replace(result, note=note) if result.verdict == "PASS" and result.case.name in weak else result
        for result in results
    ]


@runtime_checkable
class Trims(Protocol):
    """A session that gives a part of what PyTorch computes in one pass.

    With `leaves_out` it does not read all steps that PyTorch multiplies by 0.
    """

    @property
    def leaves_out(self) -> bool: ...

    def trimmed(self, item: Expected) -> Expected: ...


def check_case(session: Session, item: Expected, bound: float = 0.0) -> CaseResult:
    """Run one case in a session and judge it.

    Raises:
        UnavailableError: the runtime cannot run the file at all. Whatever else it raises, the case has failed.
    """
    if item.reference is None:
        return CaseResult(item.case, (), "REFUSED", f"PyTorch refuses it ({item.refused})")
    if isinstance(session, Trims):
        item = session.trimmed(item)
    if item.reference is None:
        return CaseResult(item.case, (), "REFUSED", item.refused)
    try:
        got = session.run(item.inputs)
    except UnavailableError:
        raise
    except Exception as error:  # each runtime raises classes of its own
        return CaseResult(item.case, (), "FAIL", f"the runtime raised {type(error).__name__}: {first_line(error)}")
    is_masked = isinstance(session, Trims) and session.leaves_out
    outputs = (_judge_masked if is_masked else _judge_outputs)(session, item, got, bound)
    if bound and item.case.values == "saturating":
        outputs = [_beyond_bound(output, bound) for output in outputs]
    if not all(output.passed for output in outputs):
        return CaseResult(item.case, outputs, "FAIL")
    excused = next((output.excused for output in outputs if output.excused), "")
    return CaseResult(item.case, outputs, "EXPECTED" if excused else "PASS", excused)


def _judge_outputs(
    session: Session,
    item: Expected,
    got: Mapping[str, Array],
    bound: float,
) -> list[OutputResult]:
    assert item.reference is not None
    reference = item.reference
    return [
        judge(
            name,
            got[name],
            eager,
            reference.exact_of(name),
            item.tolerances.get(name),
            _nonfinite_mask(session, item, name),
            reference.unsettled.get(name),
            bound,
        )
        for name, eager in reference.eager.items()
    ]


def _judge_masked(session: Session, item: Expected, got: Mapping[str, Array], bound: float) -> list[OutputResult]:
    """As `_judge_outputs`, of a stream that does not read all steps that PyTorch's whole run multiplies by 0."""
    item = without_unread(item, got)
    outputs = _judge_outputs(session, item, got, bound)
    if all(output.passed for output in outputs):
        return outputs
    others = _judge_outputs(session, with_other(item, got), got, bound)
    return [
        replace(other, excused=NOT_FINITE) if other.passed and not output.passed else output
        for output, other in zip(outputs, others, strict=True)
    ]


def _beyond_bound(output: OutputResult, bound: float) -> OutputResult:
    """Excuse an output that fails where the bound of reduced-precision weights does not apply.

    Inputs 100 times ordinary size make an activation's rounding error 100 times as large, which can flip a gate.
    """
    if output.passed or not np.isfinite(output.error):
        return output
    excused = f"Beyond the bound of {bound:.2g}, which does not apply to inputs {SATURATING:.0f} times ordinary size"
    return replace(output, reason="", first=None, excused=excused)


def _nonfinite_mask(session: Session, item: Expected, output: str) -> NonfiniteMask | None:
    mask = item.nonfinite_mask or _where_nan(item)
    if not mask:
        return None
    where = mask[output]
    return NonfiniteMask(np.ones_like(where) if session.spreads_nan else where, session.hides_nan)


def _where_nan(item: Expected) -> dict[str, NDArray[np.bool_]]:
    """By output, where PyTorch has NaN that no ordinary input leads to; empty where no output has any.

    Either values of the model's dtype overflow, and float64 has a number there, or the inputs are not ordinary, as a
    zero is not whose logarithm is taken. Every element of an integer output may be computed from such values.
    """
    if item.reference is None:
        return {}
    eager, exact = item.reference.eager, item.reference.exact or {}
    where = {name: np.isnan(array) for name, array in eager.items() if array.dtype.kind == "f"}
    if item.case.values in ORDINARY:
        where = {name: nan & ~np.isnan(exact[name]) for name, nan in where.items() if name in exact}
    if not any(nan.any() for nan in where.values()):
        return {}
    others = {name: np.full(array.shape, array.dtype.kind != "f") for name, array in eager.items()}
    return {**others, **where}


def first_wrong_step(dims: Mapping[str, Sequence[Dim]], results: Sequence[CaseResult], time: str) -> int | None:
    """The earliest time step at which an output of a failed case is wrong; `dims` are each output's dimensions."""
    steps = [
        first_step(dims[output.output], output.first, dict(result.case.sizes), time)
        for result in results
        for output in result.outputs
        if output.first is not None
    ]
    return min((step for step in steps if step is not None), default=None)


def first_step(dims: Sequence[str | int | None], index: Sequence[int], sizes: dict[str, int], time: str) -> int | None:
    """The time step of an index into an output with these dimensions; None if the output has no time axis."""
    for dim, position in zip(dims, index, strict=False):
        if dim == time or (isinstance(dim, str) and dim.startswith("max(")):
            return position
        if isinstance(dim, str) and dim.startswith(f"{time}*"):
            return position // int(np.prod([sizes[name] for name in dim.split("*")[1:]]))
    return None
