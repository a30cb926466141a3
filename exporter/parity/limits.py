"""How large an error of each element of an output may be, from what PyTorch's own errors are.

With e the error of an element against the float64 reference r, a runtime passes where

    e <= FACTOR * max(near(eager_error), baseline * near(|r|), FLOOR * eps * near(|r|)) + FACTOR * tiny

`eager_error` is PyTorch's own error, over the case and its jittered runs (see `jitter`). `near` is the largest value
among the elements of the same channel and about the same magnitude (see `magnitudes`): no element is judged by the
largest one of the output. `baseline` is the median over the ordinary cases of a channel's largest error relative to
its scale, for a case of a few numbers may be lucky. eps and tiny belong to the output's dtype.

An element that has the same bits in PyTorch's run, the jittered ones, in float64 and for other inputs is still. Where
it is larger than all that are not, as the filler of a mask is, it takes no part in this, and is compared exactly.

Where float32 and float64 differ by far more than jitter moves PyTorch's result, they compute different things. Then
float64 is no reference, the limit is what jitter explains, and `evidence` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .elements import Elements, by_channel
from .magnitudes import Floats, Groups
from .reference import Reference
from .standards import NOTHING, Standard

FACTOR = 4.0
FLOOR = 4.0

# A float64 model has no better reference than itself, so rounding errors alone must fit.
FLOOR_FLOAT64 = 1024.0

# Of an output's scale: a larger error of PyTorch is no rounding error, but what came of one.
_CHAOS = 0.01

# Of elements of about the same magnitude, where there is no float64 reference.
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-8}


@dataclass(frozen=True)
class Tolerance:
    """By element of an output: how large its error may be, absolute, and the scale that its error is relative to.

    The scale is the largest magnitude among the elements of the same kind, whatever their channel.
    """

    limit: Floats
    scale: Floats


def tolerances(
    reference: Reference, standards: Mapping[str, Standard], *, ordinary: bool = True
) -> dict[str, Tolerance]:
    """The limit of the module's docstring for each floating-point output of a case.

    Args:
        ordinary: whether the case's values are; values of another size come from calculations of the usual one, whose
            rounding errors they share.
    """
    floats = [name for name, array in reference.eager.items() if np.issubdtype(array.dtype, np.floating)]
    return {name: _tolerance(reference, name, standards.get(name, NOTHING), ordinary) for name in floats}


def _tolerance(reference: Reference, output: str, standard: Standard, ordinary: bool) -> Tolerance:
    eager, standard = reference.eager[output], standard.for_shape(reference.eager[output].shape)
    usable = standard.has_reference and reference.exact_of(output) is not None
    elements = Elements.of(reference, output, standard.axes, has_reference=usable)
    tiny = FACTOR * float(np.finfo(eager.dtype.name).tiny)
    limit, scale = np.full(eager.shape, tiny), np.zeros(eager.shape)
    if elements.value.size:
        near, whole, errors = _near(elements, standard, ordinary)
        scale[elements.moving] = whole
        errors = np.maximum(errors, _floor(eager.dtype, near, whole, usable=usable))
        limit[elements.moving] += FACTOR * np.maximum(errors, _baseline_error(elements, standard, near))
    limit[reference.still[output] & ~elements.moving] = 0.0
    return Tolerance(limit, scale)


def _near(elements: Elements, standard: Standard, ordinary: bool) -> tuple[Floats, Floats, Floats]:
    """Of each element [n] the magnitudes near it, those of its kind in all channels, and PyTorch's errors near it."""
    kinds = Groups.of(elements.magnitude, np.zeros_like(elements.channel), 1)
    usual = standard.scale[elements.channel]
    whole = np.maximum(kinds.whole(elements.magnitude), usual)
    errors, largest = elements.groups.near(elements.error), kinds.whole(elements.error)
    near = elements.groups.near(elements.magnitude)
    if not ordinary:
        return np.maximum(near, usual), whole, largest
    # What came of an error as large as that may come to any channel next.
    return near, whole, np.where(largest > _CHAOS * whole, largest, errors)


def _floor(dtype: np.dtype[Any], near: Floats, scale: Floats, *, usable: bool) -> Floats:
    """How large PyTorch's errors [n] are taken to be at least."""
    if not usable:
        return TOLERANCE[dtype.name] / FACTOR * near
    eps = float(np.finfo(dtype.name).eps)
    return FLOOR_FLOAT64 * eps * scale if dtype == np.float64 else FLOOR * eps * near


def _baseline_error(elements: Elements, standard: Standard, near: Floats) -> Floats:
    """How large PyTorch's errors [n] usually are for values like these."""
    largest = np.maximum(by_channel(elements.magnitude, elements.channel, elements.channels), standard.scale)
    return np.asarray(standard.baseline[elements.channel] * np.minimum(near, largest[elements.channel]))
