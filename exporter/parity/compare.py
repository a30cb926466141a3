"""Compare one output with PyTorch's: shape, dtype and non-finite values must match, and errors stay within limits.

The limit of each element is made in `limits`. A limit is raised to `bound * scale` where weights of reduced precision
have a `bound`, relative to an output's scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .limits import FACTOR, FLOOR, Tolerance
from .multiples import times_in_words

Array = NDArray[np.generic]

_WITHIN = np.nextafter(1.0, 0.0)

# TensorFloat-32 keeps 10 binary digits of a factor, as float16 does.
TF32_BOUND = FACTOR * FLOOR * 2.0**-10


@dataclass(frozen=True)
class NonfiniteMask:
    """The elements of an output that a non-finite input affects, and the kernel known to handle NaN differently.

    `kernel` is empty where the runtime has no such kernel; then nothing is excused.
    """

    where: NDArray[np.bool_]
    kernel: str


@dataclass(frozen=True)
class OutputResult:
    """How far one output is off: the error that is largest in units of its limit, its index, and that limit.

    `reason` says why the output fails, and is empty where it passes; `excused` names a known deviation of the runtime.
    `first` is the index of the first element beyond its limit, `scale` what the error is relative to, `vs_eager` the
    largest difference from PyTorch's output in the model's own precision.
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
    tolerance: Tolerance | None,
    nonfinite_mask: NonfiniteMask | None = None,
    unsettled: NDArray[np.bool_] | None = None,
    bound: float = 0.0,
) -> OutputResult:
    """Compare `got`, a runtime's output, with PyTorch's.

    Args:
        output: its name.
        eager: PyTorch's output in the model's own precision.
        exact: PyTorch's output in float64; None where that is no reference.
        tolerance: by element; None for integers, which must be equal.
        nonfinite_mask: in a case with a non-finite input, the elements that it affects.
        unsettled: elements that depend on PyTorch's rounding, or on its algorithms; they are not compared.
        bound: what reduced-precision weights may cost, relative to the output's scale.
    """
    if got.shape != eager.shape:
        wrong = _wrong(output, f"has shape {list(got.shape)} instead of {list(eager.shape)}")
        return (
            replace(wrong, error=0.0, reason="", excused=_excuse(nonfinite_mask))
            if _counts_nan(got, eager, nonfinite_mask)
            else wrong
        )
    if got.dtype != eager.dtype:
        return _wrong(output, f"is {got.dtype} instead of {eager.dtype}")
    if unsettled is not None:
        got = np.where(unsettled, eager, got)
    limits = None if tolerance is None else with_bound(tolerance, bound)
    target = _Target(output, eager, eager if exact is None else exact, limits)
    result = _compare(got, target)
    if result.passed or nonfinite_mask is None or not nonfinite_mask.kernel:
        return result
    where = nonfinite_mask.where
    rest = _compare(np.where(where, eager, got), replace(target, reference=np.where(where, eager, target.reference)))
    return replace(rest, excused=_excuse(nonfinite_mask)) if rest.passed else result


def _excuse(mask: NonfiniteMask | None) -> str:
    kernel = "" if mask is None else mask.kernel
    return f"The runtime's {kernel} kernel handles NaN differently from PyTorch; check inputs for NaN first"


def _counts_nan(got: Array, eager: Array, mask: NonfiniteMask | None) -> bool:
    """Whether a size may be counted from values that a kernel makes of NaN: every element is affected by one."""
    return mask is not None and bool(mask.kernel) and got.ndim == eager.ndim and bool(mask.where.all())


def with_bound(tolerance: Tolerance, bound: float) -> Tolerance:
    """The same where reduced-precision weights may cost this much, relative to an output's scale."""
    return tolerance if bound == 0 else replace(tolerance, limit=np.maximum(tolerance.limit, bound * tolerance.scale))


@dataclass(frozen=True)
class _Target:
    """What an output is compared with; the fields are `judge`'s arguments."""

    output: str
    eager: Array
    reference: Array
    tolerance: Tolerance | None


def _compare(got: Array, target: _Target) -> OutputResult:
    output, eager = target.output, target.eager
    if target.tolerance is None:
        return _compare_integers(output, got, eager)
    misplaced = (np.isnan(got) != np.isnan(eager)) | (_infinite(got) != _infinite(eager))
    if misplaced.any():
        index = _position(misplaced, int(np.argmax(misplaced)))
        return OutputResult(
            output, np.inf, 0.0, index, f"is {got[index]} where PyTorch has {eager[index]}", first=index
        )
    return _compare_floats(got, target, target.tolerance)


def _compare_floats(got: Array, target: _Target, tolerance: Tolerance) -> OutputResult:
    eager, reference, limits = target.eager, target.reference.astype(np.float64), tolerance.limit
    if not eager.size:
        return OutputResult(target.output, 0.0, 0.0, ())
    finite = np.isfinite(eager) & np.isfinite(reference) & np.isfinite(got)
    errors = np.where(finite, np.abs(np.where(finite, got, 0.0) - np.where(finite, reference, 0.0)), 0.0)
    # An element that must be exact has a limit of 0, and no error that is any share of it.
    shares = np.divide(errors, limits, out=np.where(errors > 0, np.inf, 0.0), where=limits > 0)
    # A share may round to 1 beyond the limit, too.
    index = _position(shares, int(np.argmax(np.where(errors > limits, shares, np.minimum(shares, _WITHIN)))))
    error, limit = float(errors[index]), float(limits[index])
    vs_eager = largest(np.where(finite, got, 0.0).astype(np.float64) - np.where(finite, eager, 0.0))
    scale = float(tolerance.scale[index])
    result = OutputResult(target.output, error, limit, index, scale=scale, vs_eager=vs_eager)
    over = errors > limits
    if not over.any():
        return result
    times = (
        f"{times_in_words(error / limit)} the limit of {limit:.2g}" if limit else "and has to be the very same number"
    )
    return replace(result, reason=f"is off by {error:.2g}, {times}", first=_position(over, int(np.argmax(over))))


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
