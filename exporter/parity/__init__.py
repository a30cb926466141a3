"""Does a runtime compute what PyTorch computes? Cases, reference, comparison, report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..capture.output_dims import Dim, infer_dims
from ..errors import UnavailableError, first_line
from ..runtimes import Session
from ..signature import Signature
from .cases import NON_FINITE, SATURATING, Bounds, Case, make_cases, make_inputs, traced_sizes
from .compare import OutputResult, Touched, Typical, first_step, judge, largest
from .reference import JITTERS, JITTERS_AT_TIES, Oracle, Reference, RefusedError
from .report import CaseResult, Report

__all__ = ["Bounds", "Case", "Expected", "Report", "check", "expect", "make_cases", "make_inputs", "traced_sizes"]

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Expected:
    """A case with its inputs and what PyTorch computes for it, or why it does not (`refused`).

    `touched` says, per output, which elements a non-finite input changes; None where every input is finite.
    `measures` are sizes that come from the inputs' values, such as `{"max(lengths)": 5, "sum(lengths)": 12}`.
    """

    case: Case
    inputs: Mapping[str, Array]
    reference: Reference | None
    refused: str = ""
    touched: Mapping[str, NDArray[np.bool_]] | None = None
    measures: Mapping[str, int] = field(default_factory=dict)


def expect(
    model: nn.Module,
    signature: Signature,
    cases: Sequence[Case],
    example: Mapping[str, Array] | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Expected]:
    """Run every case through PyTorch, in the model's precision and in float64.

    Args:
        advance: called after each case with how many are done.
    """
    oracle = Oracle(model, signature)
    found = []
    for case in cases:
        found.append(expect_case(oracle, signature, case, example))
        advance(len(found))
    return found


def expect_case(oracle: Oracle, signature: Signature, case: Case, example: Mapping[str, Array] | None) -> Expected:
    """Run one case through PyTorch."""
    item = expect_inputs(oracle, signature, case, make_inputs(signature, case, example))
    if item.reference is None:
        return item
    try:
        return replace(item, touched=_touched(oracle, signature, case, item.reference, example))
    except RefusedError as refused:
        return Expected(case, item.inputs, None, str(refused))


def expect_inputs(oracle: Oracle, signature: Signature, case: Case, inputs: Mapping[str, Array]) -> Expected:
    """Run given inputs, all finite, through PyTorch, as if they were those of the case."""
    try:
        reference = oracle.compute(inputs, JITTERS if case.values != "saturating" else JITTERS_AT_TIES)
        return Expected(case, inputs, reference, measures=_measures(signature, inputs))
    except RefusedError as refused:
        return Expected(case, inputs, None, str(refused))


def _measures(signature: Signature, inputs: Mapping[str, Array]) -> dict[str, int]:
    lengths = [name for name, spec in signature.inputs.items() if spec.has_lengths and inputs[name].size]
    return {
        f"{measure.__name__}({name})": int(measure(inputs[name])) for name in lengths for measure in (np.max, np.sum)
    }


def _touched(
    oracle: Oracle,
    signature: Signature,
    case: Case,
    reference: Reference,
    example: Mapping[str, Array] | None,
) -> dict[str, NDArray[np.bool_]] | None:
    """Where PyTorch's outputs differ from those for the same inputs with an ordinary value for the non-finite one.

    What takes one of few values may be the same by chance: integers count as reached everywhere, and so do elements of
    which there are several alike, such as those below a threshold.
    """
    if case.values not in NON_FINITE:
        return None
    ordinary = oracle.eager(make_inputs(signature, replace(case, values="ordinary"), example))
    return {name: _reached(eager, ordinary[name]) for name, eager in reference.eager.items()}


def _reached(eager: Array, ordinary: Array) -> NDArray[np.bool_]:
    if eager.dtype.kind != "f" or eager.shape != ordinary.shape:
        return np.ones(eager.shape, bool)
    _, places, counts = np.unique(eager, return_inverse=True, return_counts=True)
    alike = (counts > 1)[places].reshape(eager.shape)
    return np.asarray((eager != ordinary) | alike)


def check(
    session: Session,
    expected: Sequence[Expected],
    *,
    artifact: str,
    runtime: str,
    traced: Mapping[str, int],
    seed: int,
    typical: Mapping[str, Typical] | None = None,
    bound: float = 0.0,
    advance: Callable[[int], None] = lambda done: None,
) -> Report:
    """Run every case in a session and judge it.

    Args:
        typical: what is typical of each output; by default found from the ordinary cases in `expected`.
        bound: what smaller weights may cost, relative to each output's scale.
        advance: called after each case with how many are done.
    """
    typical = typical_errors(expected) if typical is None else typical
    results = []
    for item in expected:
        results.append(check_case(session, item, typical, bound))
        advance(len(results))
    exact = all(item.reference is None or item.reference.exact is not None for item in expected)
    reference: Literal["float64", "tolerance"] = "float64" if exact else "tolerance"
    # Time is the symbol T, or the first.
    step = first_wrong_step(output_dims(expected), results, "T" if "T" in traced else next(iter(traced), ""))
    return Report(artifact, runtime, session.placement(), reference, seed, dict(traced), results, step, bound)


def typical_errors(expected: Sequence[Expected]) -> dict[str, Typical]:
    """What is typical of each floating-point output: medians over the ordinary cases."""
    scales: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for item in expected:
        reference = item.reference
        if item.case.values == "ordinary" and reference is not None and reference.exact is not None:
            for name, own in reference.own.items():
                scale = largest(reference.exact[name])
                scales.setdefault(name, []).append(scale)
                errors.setdefault(name, []).append(own / scale if scale > 0 else 0.0)
    return {name: Typical(median(scales[name]), median(errors[name])) for name in scales}


def output_dims(expected: Sequence[Expected]) -> dict[str, tuple[Dim, ...]]:
    """Each output's dimensions in terms of symbols and measures, from the ordinary cases that PyTorch runs."""
    runs = [
        ({**item.case.sizes, **item.measures}, item.reference.eager)
        for item in expected
        if item.reference is not None and item.case.values == "ordinary"
    ]
    names = runs[0][1] if runs else {}
    return {name: infer_dims([sizes for sizes, _ in runs], [eager[name].shape for _, eager in runs]) for name in names}


def check_case(session: Session, item: Expected, typical: Mapping[str, Typical], bound: float = 0.0) -> CaseResult:
    """Run one case in a session and judge it."""
    if item.reference is None:
        return CaseResult(item.case, (), "REFUSED", f"PyTorch refuses it ({item.refused})")
    try:
        got = session.run(item.inputs)
    except UnavailableError:
        raise
    except Exception as error:  # a runtime raises classes of its own; whatever it is, the case has failed
        return CaseResult(item.case, (), "FAIL", f"the runtime raised {type(error).__name__}: {first_line(error)}")
    exact = item.reference.exact
    outputs = [
        judge(
            name,
            got[name],
            eager,
            None if exact is None else exact[name],
            item.reference.own.get(name, 0.0),
            typical.get(name, Typical(0.0, 0.0)),
            _reach(session, item, name),
            item.reference.unsettled.get(name),
            bound,
        )
        for name, eager in item.reference.eager.items()
    ]
    if bound and item.case.values == "saturating":
        outputs = [_beyond_bound(output, bound) for output in outputs]
    if not all(output.passed for output in outputs):
        return CaseResult(item.case, outputs, "FAIL")
    excused = next((output.excused for output in outputs if output.excused), "")
    return CaseResult(item.case, outputs, "KNOWN" if excused else "PASS", excused)


def _beyond_bound(output: OutputResult, bound: float) -> OutputResult:
    """A value that is off, in a case for which smaller weights are not bounded, is shown and not failed.

    Inputs 100 times the ordinary make a rounding of an activation 100 times as large, and decide a gate's sign by it.
    """
    if output.passed or not output.scale:
        return output
    excused = f"Beyond the bound of {bound:.2g}, which does not hold at inputs {SATURATING:.0f} times the ordinary"
    return replace(output, reason="", first=None, excused=excused)


def _reach(session: Session, item: Expected, output: str) -> Touched | None:
    touched = item.touched or _overflowed(item)
    if not touched:
        return None
    where = touched[output]
    return Touched(np.ones_like(where) if session.spreads_nan else where, session.hides_nan)


def _overflowed(item: Expected) -> dict[str, NDArray[np.bool_]]:
    """Where PyTorch's own outputs are NaN and float64 ones are not, for the model's values grow beyond its dtype.

    Integers may come from such values everywhere. Empty where no output has one.
    """
    reference = item.reference
    if reference is None or reference.exact is None:
        return {}
    exact = reference.exact
    floats = {name for name, array in reference.eager.items() if array.dtype.kind == "f"}
    where = {name: np.isnan(reference.eager[name]) & ~np.isnan(exact[name]) for name in floats}
    if not any(nan.any() for nan in where.values()):
        return {}
    return {name: where[name] if name in floats else np.ones(a.shape, bool) for name, a in reference.eager.items()}


def first_wrong_step(dims: Mapping[str, Sequence[Dim]], results: Sequence[CaseResult], time: str) -> int | None:
    """The earliest time step at which any output, of those dimensions, of any failed case is wrong."""
    steps = [
        first_step(dims[output.output], output.first, dict(result.case.sizes), time)
        for result in results
        for output in result.outputs
        if output.first is not None
    ]
    return min((step for step in steps if step is not None), default=None)
