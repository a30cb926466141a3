"""Judging one output against PyTorch: as right as PyTorch is, non-finite values in place, same shape and dtype.

With e the largest error against the float64 reference r, an output passes when

    e(runtime) <= FACTOR * max(eager_error, baseline.error * scale, FLOOR * eps * scale) + FACTOR * tiny

where `eager_error` is PyTorch's error on the case and its jittered runs (see `reference`), `baseline.error` its median
relative error over the ordinary cases (a case of a few numbers may be lucky), `scale` the larger of max|r| and its
median over the ordinary cases, and eps and tiny belong to the output's dtype. Without a float64 reference the limit is
`TOLERANCE` relative to max|r|, r being PyTorch's own output.

An export with smaller weights has a `bound` as well, relative to `scale`: the limit is then at least bound * scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..spec.cases import Baseline as Baseline  # noqa: PLC0414  part of what is asked of this module

Array = NDArray[np.generic]
FACTOR = 4.0
FLOOR = 4.0

# A float64 model has no better reference than itself, so that rounding alone must fit.
FLOOR_FLOAT64 = 1024.0

# TensorFloat-32 keeps 10 binary digits of a factor, as float16 does.
TF32_BOUND = FACTOR * FLOOR * 2.0**-10
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-8}


def read_baselines(stored: Mapping[str, Mapping[str, float]]) -> dict[str, Baseline]:
    """What is typical of each output, as a bundle or a failing case has it."""
    return {output: Baseline(**values) for output, values in stored.items()}


@dataclass(frozen=True)
class Allowance:
    """How large an error of an output may be, absolute, and the scale that its errors are relative to."""

    limit: float
    scale: float


@dataclass(frozen=True)
class NonfiniteMask:
    """Which elements of an output a non-finite input changes, and a kernel that is known to treat NaN otherwise.

    `kernel` is empty where the runtime has none, and then nothing is excused.
    """

    where: NDArray[np.bool_]
    kernel: str


@dataclass(frozen=True)
class OutputResult:
    """How far one output is off: the largest error, the limit, and where the largest error is.

    `scale` is what errors are relative to, `vs_eager` the largest difference from PyTorch's own output.
    `reason` is empty where the output passes; `excused` names what a runtime is known not to do.
    """

    output: str
    error: float
    limit: float
    index: tuple[int, ...]
    reason: str = ""
    excused: str = ""
    first: tuple[int, ...] | None = None
    scale: float = 0.0
    vs_eager: float = 0.0

    @property
    def share(self) -> float:
        """The error in units of the limit; infinite where there is an error and nothing is allowed."""
        if self.limit == 0:
            return 0.0 if self.error == 0 else np.inf
        return self.error / self.limit

    @property
    def passed(self) -> bool:
        return not self.reason


def judge(
    output: str,
    got: Array,
    eager: Array,
    exact: Array | None,
    eager_error: float,
    baseline: Baseline,
    nonfinite_mask: NonfiniteMask | None = None,
    unsettled: NDArray[np.bool_] | None = None,
    bound: float = 0.0,
) -> OutputResult:
    """Compare `got`, from a runtime, with PyTorch's `eager` and `exact` outputs.

    Args:
        eager_error: PyTorch's error on this case.
        baseline: what is typical of this output.
        nonfinite_mask: in a case with a non-finite input, where that input shows, and in a runtime with what kernel.
        unsettled: elements of an integer output that PyTorch's own rounding decides; they are not compared.
        bound: relative to the output's scale, what smaller weights may cost.
    """
    if got.shape != eager.shape:
        return _wrong(output, f"has shape {list(got.shape)} instead of {list(eager.shape)}")
    if got.dtype != eager.dtype:
        return _wrong(output, f"is {got.dtype} instead of {eager.dtype}")
    if unsettled is not None:
        got = np.where(unsettled, eager, got)
    result = _judge_all(output, got, eager, exact, eager_error, baseline, bound)
    if result.passed or nonfinite_mask is None or not nonfinite_mask.kernel:
        return result
    elsewhere = np.where(nonfinite_mask.where, eager, got)
    reference = None if exact is None else np.where(nonfinite_mask.where, eager, exact)
    rest = _judge_all(output, elsewhere, eager, reference, eager_error, baseline, bound)
    excused = (
        f"The runtime's {nonfinite_mask.kernel} kernel treats NaN otherwise than PyTorch; check inputs for it first"
    )
    return replace(rest, excused=excused) if rest.passed else result


def _judge_all(
    output: str, got: Array, eager: Array, exact: Array | None, eager_error: float, baseline: Baseline, bound: float
) -> OutputResult:
    if not np.issubdtype(eager.dtype, np.floating):
        return _judge_exactly(output, got, eager)
    misplaced = (np.isnan(got) != np.isnan(eager)) | (_infinite(got) != _infinite(eager))
    if misplaced.any():
        index = _position(misplaced, int(np.argmax(misplaced)))
        return OutputResult(
            output, np.inf, 0.0, index, f"is {got[index]} where PyTorch has {eager[index]}", first=index
        )
    return _judge_values(output, got, eager, exact, eager_error, baseline, bound)


def _judge_values(
    output: str, got: Array, eager: Array, exact: Array | None, eager_error: float, baseline: Baseline, bound: float
) -> OutputResult:
    reference = (eager if exact is None else exact).astype(np.float64)
    finite = np.isfinite(eager) & np.isfinite(reference)
    errors = np.where(finite, np.abs(np.where(finite, got, 0.0) - np.where(finite, reference, 0.0)), 0.0)
    allowed = allow(eager, exact, eager_error, baseline, bound)
    limit, scale = allowed.limit, allowed.scale
    if not errors.size:
        return OutputResult(output, 0.0, limit, ())
    index = _position(errors, int(np.argmax(errors)))
    error = float(errors[index])
    apart = largest(np.where(finite, got, 0.0).astype(np.float64) - np.where(finite, eager, 0.0))
    if error <= limit:
        return OutputResult(output, error, limit, index, scale=scale, vs_eager=apart)
    over = errors > limit
    reason = f"is off by {error:.2g}, {error / limit:.3g} times the limit of {limit:.2g}"
    return OutputResult(
        output, error, limit, index, reason, first=_position(over, int(np.argmax(over))), scale=scale, vs_eager=apart
    )


def allow(eager: Array, exact: Array | None, eager_error: float, baseline: Baseline, bound: float = 0.0) -> Allowance:
    """The limit of the module's docstring, every term of it; 0 for an output of integers, which must be equal.

    The arguments are those of `judge`. It depends on no runtime: bundles hold it for the cases that they store.
    """
    if not np.issubdtype(eager.dtype, np.floating):
        return Allowance(0.0, 0.0)
    reference = (eager if exact is None else exact).astype(np.float64)
    scale = max(largest(reference[np.isfinite(eager)]), baseline.scale)
    dtype = np.finfo(eager.dtype.name)
    if exact is None:
        limit = TOLERANCE[eager.dtype.name] * scale
    else:
        floor = FLOOR_FLOAT64 if eager.dtype == np.float64 else FLOOR
        limit = FACTOR * max(eager_error, baseline.error * scale, floor * float(dtype.eps) * scale)
    return Allowance(max(limit, bound * scale) + FACTOR * float(dtype.tiny), scale)


def _judge_exactly(output: str, got: Array, eager: Array) -> OutputResult:
    differs = got != eager
    if not differs.any():
        return OutputResult(output, 0.0, 0.0, ())
    index = _position(differs, int(np.argmax(differs)))
    error = float(np.max(np.abs(got.astype(np.float64) - eager.astype(np.float64))))
    return OutputResult(output, error, 0.0, index, f"is {got[index]} instead of {eager[index]}", first=index)


def _wrong(output: str, reason: str) -> OutputResult:
    return OutputResult(output, np.inf, 0.0, (), reason)


def _infinite(array: Array) -> Array:
    """The sign of infinite elements, 0 elsewhere."""
    return np.where(np.isinf(array), np.sign(array), 0)


def largest(array: Array) -> float:
    """The largest finite magnitude; 0 if there is none."""
    return float(np.max(np.abs(array[np.isfinite(array)]), initial=0.0))


def largest_error(array: Array, exact: Array) -> float:
    """The largest error where both are finite; 0 where their shapes differ or nothing is finite."""
    if array.shape != exact.shape:
        return 0.0
    finite = np.isfinite(array) & np.isfinite(exact)
    return float(np.max(np.abs(array[finite].astype(np.float64) - exact[finite].astype(np.float64)), initial=0.0))


def _position(array: Array, flat: int) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(flat, array.shape))
