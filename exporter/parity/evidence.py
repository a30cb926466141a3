"""Do the cases show anything? An output whose limits are as large as its values has passed, and is not verified.

By channel, a case is evidence where the limit of its usual elements is below 1% of how much the channel varies over the
ordinary cases; float16 has too few digits to ask for that. An output that has a channel without any evidence is
unverified, with the reason: chaos, another model in float64, a NaN in every case. A channel that is nothing but
rounding errors of 1 beside others that are verified does not count.
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

# A case is evidence where a limit is below this share of how much its output varies; float16 has too few digits.
_SHARE = {"float16": np.inf, "float32": 0.01, "float64": 0.01}

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
    unexplained = _unexplained(reference, output, Elements.of(reference, output, (), has_reference=True))
    return bool(unexplained.size) and float(np.mean(unexplained)) > 0.5


def find_unexplained(reference: Reference, output: str) -> NDArray[np.bool_]:
    """The elements [*shape] that float64 makes another number of, by far more than jitter moves PyTorch's."""
    elements = Elements.of(reference, output, (), has_reference=True)
    found = np.zeros(reference.eager[output].shape, bool)
    found[elements.moving] = _unexplained(reference, output, elements)
    return found


def _unexplained(reference: Reference, output: str, elements: Elements) -> NDArray[np.bool_]:
    """The same of these elements [n], whose values are float64's."""
    eager = reference.eager[output]
    apart = np.abs(eager[elements.moving].astype(np.float64) - elements.value)
    scale = elements.groups.near(elements.magnitude)
    floor = float(np.finfo(eager.dtype.name).eps) * scale
    explained = np.maximum(elements.groups.near(reference.spread[output][elements.moving]), floor)
    return np.asarray((apart > _UNEXPLAINED * explained) & (apart > _NOTICEABLE * scale))


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


def doubt_of(
    cases: Sequence[Judged], standards: Mapping[str, Standard], returned: Mapping[str, Standard]
) -> Doubt | None:
    """Why one of the outputs is not verified by these ordinary cases; None where all are.

    Args:
        returned: the standards of the outputs that the model returns, which have to show something.
    """
    outputs = cases[0].reference.eager if cases else {}
    doubts = (_doubt_about_reference(cases, name, standards.get(name)) for name in outputs)
    return next((doubt for doubt in doubts if doubt is not None), None) or _doubt_about_limits(cases, returned)


def _doubt_about_reference(cases: Sequence[Judged], output: str, standard: Standard | None) -> Doubt | None:
    references = [case.reference for case in cases]
    if not np.issubdtype(references[0].eager[output].dtype, np.floating):
        return _unsettled(references, output)
    if all(np.isnan(reference.eager[output]).all() for reference in references if reference.eager[output].size):
        return Doubt(
            f"PyTorch's '{output}' is NaN in every ordinary case",
            "Say in the signature what the inputs are, such as 'x: float32[T, N, 8] > 0', or give an example",
        )
    if standard is None or standard.has_reference:
        return None
    return Doubt(
        f"in float64 the model computes another '{output}' than in its own precision, by far more than rounding "
        "explains: it draws random numbers, or depends on the dtype",
        "Take random numbers as an input",
    )


def _doubt_about_limits(cases: Sequence[Judged], standards: Mapping[str, Standard]) -> Doubt | None:
    best = {output: _best(cases, output, standard) for output, standard in standards.items()}
    is_any_verified = any(bool((np.isfinite(each.shares) & ~each.lacks).any()) for each in best.values())
    for output, each in best.items():
        lacks = each.lacks & ~each.is_negligible if is_any_verified else each.lacks
        if lacks.any():
            return Doubt(
                f"PyTorch's own rounding errors reach {float(each.shares[lacks].max()):.0%} of how much '{output}' "
                "varies, even in the case where they are smallest: the model is chaotic or ill-conditioned",
                "Train it, or lower its weights",
            )
    return None


@dataclass(frozen=True)
class _Best:
    """By channel of an output the smallest limit of any case, and the smallest share of how much the channel varies."""

    limits: Floats
    shares: Floats
    dtype: str

    @property
    def lacks(self) -> NDArray[np.bool_]:
        """The channels that have elements, and no evidence."""
        return np.asarray(np.isfinite(self.shares) & (self.shares >= _SHARE[self.dtype]))

    @property
    def is_negligible(self) -> NDArray[np.bool_]:
        """The channels whose limit is that of rounding errors of 1."""
        return np.asarray(self.limits <= _NEGLIGIBLE * float(np.finfo(self.dtype).eps))


def _best(cases: Sequence[Judged], output: str, standard: Standard) -> _Best:
    found = [_limits_and_shares(case, output, standard) for case in cases]
    limits, shares = (np.min(np.stack(np.broadcast_arrays(*values)), axis=0) for values in zip(*found, strict=True))
    return _Best(limits, shares, cases[0].reference.eager[output].dtype.name)


def shows_little(case: Judged, standards: Mapping[str, Standard]) -> bool:
    """Whether the limit of some output of an ordinary case is no smaller than what counts as evidence."""
    found = (_best([case], output, standard) for output, standard in standards.items())
    return any(bool((each.lacks & ~each.is_negligible).any()) for each in found)


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
