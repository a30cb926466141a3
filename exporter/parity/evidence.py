"""Do the cases show anything? An output whose limits are as large as its values has passed, and is not verified.

By channel, a case is evidence where the limit of its usual elements is below 1% of how much the channel varies over the
ordinary cases, or in float16 below that itself. An output that has a channel without any evidence is unverified, with
the reason: chaos, random numbers, a NaN in every case. A channel that is nothing but rounding errors of 1 beside others
that are verified does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .elements import Elements, by_channel, of_usual_kinds
from .limits import Tolerance
from .magnitudes import Floats
from .reference import Reference
from .standards import Standard

Array = NDArray[np.generic]

# A case is evidence where a limit is below this share of how much its output varies; float16 has no more digits.
_SHARE = {"float16": 1.0, "float32": 0.01, "float64": 0.01}

# A large number that hardly varies need not be more exact than this share of itself.
_STEADY = 0.01

# Beside channels that are verified, one whose limit is below this many ulps of 1 is as good as zero: the logarithm of a
# probability that is nearly 1.
_NEGLIGIBLE = 64.0

# float32 and float64 compute different things where they differ by this many times what jitter explains, and by this
# share of the values, in half of the elements of as many of the cases.
_UNEXPLAINED, _NOTICEABLE, _CASES = 64.0, 1e-3, 0.25


def disagrees(references: Sequence[Reference], output: str) -> bool:
    """Whether float64 computes something else than the model's own precision does, in these ordinary cases."""
    found = [_differ(reference, output) for reference in references if reference.exact_of(output) is not None]
    return bool(found) and sum(found) > _CASES * len(found)


def _differ(reference: Reference, output: str) -> bool:
    eager, exact = reference.eager[output], reference.exact_of(output)
    elements = Elements.of(reference, output, (), has_reference=True)
    if exact is None or not elements.magnitude.size:
        return False
    apart = np.abs(eager[elements.moving].astype(np.float64) - elements.value)
    groups = elements.groups
    scale = groups.near(elements.magnitude)
    floor = float(np.finfo(eager.dtype.name).eps) * scale
    explained = np.maximum(groups.near(reference.spread[output][elements.moving]), floor)
    return float(np.mean((apart > _UNEXPLAINED * explained) & (apart > _NOTICEABLE * scale))) > 0.5


@dataclass(frozen=True)
class Judged:
    """An ordinary case: what PyTorch computes, and the limits."""

    reference: Reference
    tolerances: Mapping[str, Tolerance]


@dataclass(frozen=True)
class Doubt:
    """Why no case shows whether an output is right, and what to do about it."""

    why: str
    remedy: str = ""


def doubt_of(cases: Sequence[Judged], standards: Mapping[str, Standard]) -> Doubt | None:
    """Why one of the outputs is not verified by these ordinary cases; None where all are."""
    outputs = cases[0].reference.eager if cases else {}
    found = (_doubt(cases, name, standards.get(name)) for name in outputs)
    return next((doubt for doubt in found if doubt is not None), None)


def _doubt(cases: Sequence[Judged], output: str, standard: Standard | None) -> Doubt | None:
    references = [case.reference for case in cases]
    dtype = references[0].eager[output].dtype
    if not np.issubdtype(dtype, np.floating):
        return _unsettled(references, output)
    if all(np.isnan(reference.eager[output]).all() for reference in references if reference.eager[output].size):
        return Doubt(
            f"PyTorch's '{output}' is NaN in every ordinary case",
            "Say in the signature what the inputs are, such as 'x: float32[T, N, 8] > 0', or give an example",
        )
    if standard is None:
        return None
    if not standard.has_reference:
        return Doubt(
            f"in float64 the model computes another '{output}' than in its own precision, by far more than rounding "
            "explains: it draws random numbers, or depends on the dtype",
            "Take random numbers as an input",
        )
    limits, shares = zip(*(_limits_and_shares(case, output, standard) for case in cases), strict=True)
    best, smallest = (np.min(np.stack(np.broadcast_arrays(*found)), axis=0) for found in (shares, limits))
    lacks = np.isfinite(best) & (best >= _SHARE[dtype.name])
    if lacks.any() and not lacks[np.isfinite(best)].all():
        lacks &= smallest > _NEGLIGIBLE * float(np.finfo(dtype.name).eps)
    lacking = best[lacks]
    if not lacking.size:
        return None
    return Doubt(
        f"PyTorch's own rounding errors reach {float(lacking.max()):.0%} of how much '{output}' varies, even in the "
        "case where they are smallest: the model is chaotic or ill-conditioned",
        "Train it, or lower its weights",
    )


def shows_little(case: Judged, standards: Mapping[str, Standard]) -> bool:
    """Whether the limit of some output of an ordinary case is no smaller than what counts as evidence."""
    for output, standard in standards.items():
        limits, shares = _limits_and_shares(case, output, standard)
        dtype = case.reference.eager[output].dtype.name
        negligible = limits <= _NEGLIGIBLE * float(np.finfo(dtype).eps)
        if (np.isfinite(shares) & (shares >= _SHARE[dtype]) & ~negligible).any():
            return True
    return False


def _limits_and_shares(case: Judged, output: str, standard: Standard) -> tuple[Floats, Floats]:
    """By channel the largest limit, and that in units of how much it varies; infinite where it has no elements."""
    standard = standard.for_shape(case.reference.eager[output].shape)
    elements = Elements.of(case.reference, output, standard.axes, has_reference=standard.has_reference)
    varies = np.maximum(standard.variation, _STEADY * standard.scale)
    limits = np.where(of_usual_kinds(elements), case.tolerances[output].limit[elements.moving], 0.0)
    largest = by_channel(limits, elements.channel, len(varies))
    shares: Floats = np.divide(largest, varies, out=np.full(len(varies), np.inf), where=(largest > 0) & (varies > 0))
    return largest, shares


def _unsettled(references: Sequence[Reference], output: str) -> Doubt | None:
    sized = [reference.unsettled[output] for reference in references if reference.unsettled[output].size]
    if not sized or min(float(np.mean(unsettled)) for unsettled in sized) <= 0.5:
        return None
    return Doubt(
        f"most integers of '{output}' depend on rounding in PyTorch itself", "Return what they are chosen by instead"
    )
