"""Compare one output with PyTorch's: shape, dtype and non-finite values must match, and errors stay within a limit.

With e the largest error against the float64 reference r, an output passes when

    e(runtime) <= FACTOR * max(eager_error, baseline.error * scale, FLOOR * eps * scale) + FACTOR * tiny

where `eager_error` is PyTorch's error on the case and its jittered runs (see `reference`), `baseline.error` its median
relative error over the ordinary cases (a case of a few numbers may be lucky), `scale` the larger of max|r| and its
median over the ordinary cases, and eps and tiny belong to the output's dtype. Without a float64 reference the limit is
`TOLERANCE` relative to max|r|, r being PyTorch's own output.

An export with reduced-precision weights also has a `bound`, relative to `scale`: the limit is then at least
bound * scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..spec.artifact import Baseline

Array = NDArray[np.generic]
FACTOR = 4.0
FLOOR = 4.0

# A float64 model has no better reference than itself, so rounding errors alone must fit.
FLOOR_FLOAT64 = 1024.0

# TensorFloat-32 keeps 10 binary digits of a factor, as float16 does.
TF32_BOUND = FACTOR * FLOOR * 2.0**-10
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-8}


def read_baselines(stored: Mapping[str, Mapping[str, float]]) -> dict[str, Baseline]:
    """Each output's baseline, as a bundle or a failing case stores it."""
    return {output: Baseline(**values) for output, values in stored.items()}


@dataclass(frozen=True)
class Allowance:
    """How large an error of an output may be, absolute, and the scale that its errors are relative to."""

    limit: float
    scale: float


@dataclass(frozen=True)
class NonfiniteMask:
    """The elements of an output that a non-finite input affects, and the kernel known to handle NaN differently.

    `kernel` is empty where the runtime has no such kernel; then nothing is excused.
    """

    where: NDArray[np.bool_]
    kernel: str


@dataclass(frozen=True)
class OutputResult:
    """How far one output is off: the largest error, its index, and the limit.

    `reason` says why the output fails, and is empty where it passes; `excused` names a known deviation of the runtime.
    `first` is the index of the first element beyond the limit, `scale` what relative errors are relative to, `vs_eager`
    the largest difference from PyTorch's output in the model's own precision.
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
        """The error in units of the limit; infinite where the limit is 0 and the error is not."""
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
    """Compare `got`, a runtime's output, with PyTorch's.

    Args:
        output: its name.
        eager: PyTorch's output in the model's own precision.
        exact: PyTorch's output in float64; None where the model has no float64 form.
        eager_error: PyTorch's error on this case.
        baseline: of this output, over the ordinary cases.
        nonfinite_mask: in a case with a non-finite input, the elements that it affects.
        unsettled: elements of an integer output that depend on PyTorch's rounding; they are not compared.
        bound: what reduced-precision weights may cost, relative to the output's scale.
    """
    if got.shape != eager.shape:
        return _wrong(output, f"has shape {list(got.shape)} instead of {list(eager.shape)}")
    if got.dtype != eager.dtype:
        return _wrong(output, f"is {got.dtype} instead of {eager.dtype}")
    if unsettled is not None:
        got = np.where(unsettled, eager, got)
    target = _Target(output, eager, exact, eager_error, baseline, bound)
    result = _compare(got, target)
    if result.passed or nonfinite_mask is None or not nonfinite_mask.kernel:
        return result
    where, kernel = nonfinite_mask.where, nonfinite_mask.kernel
    masked = replace(target, exact=None if exact is None else np.where(where, eager, exact))
    rest = _compare(np.where(where, eager, got), masked)
    excused = f"The runtime's {kernel} kernel handles NaN differently from PyTorch; check inputs for NaN first"
    return replace(rest, excused=excused) if rest.passed else result


@dataclass(frozen=True)
class _Target:
    """What an output is compared with; the fields are `judge`'s arguments."""

    output: str
    eager: Array
    exact: Array | None
    eager_error: float
    baseline: Baseline
    bound: float


def _compare(got: Array, target: _Target) -> OutputResult:
    output, eager = target.output, target.eager
    if not np.issubdtype(eager.dtype, np.floating):
        return _compare_integers(output, got, eager)
    misplaced = (np.isnan(got) != np.isnan(eager)) | (_infinite(got) != _infinite(eager))
    if misplaced.any():
        index = _position(misplaced, int(np.argmax(misplaced)))
        return OutputResult(
            output, np.inf, 0.0, index, f"is {got[index]} where PyTorch has {eager[index]}", first=index
        )
    return _compare_floats(got, target)


def _compare_floats(got: Array, target: _Target) -> OutputResult:
    eager = target.eager
    reference = (eager if target.exact is None else target.exact).astype(np.float64)
    finite = np.isfinite(eager) & np.isfinite(reference) & np.isfinite(got)
    errors = np.where(finite, np.abs(np.where(finite, got, 0.0) - np.where(finite, reference, 0.0)), 0.0)
    allowed = allow(eager, target.exact, target.eager_error, target.baseline, target.bound)
    limit, scale = allowed.limit, allowed.scale
    if not errors.size:
        return OutputResult(target.output, 0.0, limit, ())
    index = _position(errors, int(np.argmax(errors)))
    error = float(errors[index])
    vs_eager = largest(np.where(finite, got, 0.0).astype(np.float64) - np.where(finite, eager, 0.0))
    result = OutputResult(target.output, error, limit, index, scale=scale, vs_eager=vs_eager)
    if error <= limit:
        return result
    over = errors > limit
    reason = f"is off by {error:.2g}, {error / limit:.3g} times the limit of {limit:.2g}"
    return replace(result, reason=reason, first=_position(over, int(np.argmax(over))))


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


def _compare_integers(output: str, got: Array, eager: Array) -> OutputResult:
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
