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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from ..spec.dims import Dim
from .magnitudes import FEW, Floats, Groups, Ints
from .reference import Reference

Array = NDArray[np.generic]
FACTOR = 4.0
FLOOR = 4.0

# A float64 model has no better reference than itself, so rounding errors alone must fit.
FLOOR_FLOAT64 = 1024.0

# Of elements of about the same magnitude, where there is no float64 reference.
TOLERANCE = {"float16": 1e-2, "float32": 1e-4, "float64": 1e-8}


@dataclass(frozen=True)
class Tolerance:
    """By element of an output: how large its error may be, absolute, and the scale that its error is relative to.

    The scale is the largest magnitude among the elements of the same kind, whatever their channel.
    """

    limit: Floats
    scale: Floats


@dataclass(frozen=True)
class Standard:
    """What the ordinary cases say of an output: by channel its baseline, its usual scale, and its standard deviation.

    `axes` are those of fixed size, whose indices are the channels. `has_reference` is False where float64 computes
    something else.
    """

    axes: tuple[int, ...]
    baseline: Floats
    scale: Floats
    variation: Floats
    has_reference: bool = True


NOTHING = Standard((), np.zeros(1), np.zeros(1), np.zeros(1))


@dataclass(frozen=True)
class Elements:
    """The elements of one output of one case that limits are made for: finite ones, but no large ones that are still.

    `moving` is [*shape], the rest [n]: the reference, PyTorch's errors, and which of the `channels` it is.
    """

    moving: NDArray[np.bool_]
    value: Floats
    error: Floats
    channel: Ints
    channels: int

    @classmethod
    def of(cls, reference: Reference, output: str, axes: Sequence[int], *, has_reference: bool) -> Elements:
        eager, exact = reference.eager[output], reference.exact_of(output)
        usable = has_reference and exact is not None
        target = eager if exact is None or not usable else exact
        error = reference.eager_error[output] if usable else reference.spread[output]
        finite = np.isfinite(eager) & np.isfinite(target)
        still = reference.still[output]
        largest = np.abs(target).max(initial=0.0, where=finite & ~still)
        moving = finite & (~still | (np.abs(target) <= largest))
        channel, channels = _channels(eager.shape, axes)
        return cls(moving, target[moving].astype(np.float64), error[moving], channel[moving], channels)

    @cached_property
    def magnitude(self) -> Floats:
        return np.abs(self.value)

    def groups(self) -> Groups:
        """By channel and magnitude; by magnitude alone where a channel has few elements."""
        if self.magnitude.size < FEW * self.channels:
            return Groups.of(self.magnitude, np.zeros_like(self.channel), 1)
        return Groups.of(self.magnitude, self.channel, self.channels)


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
    eager = reference.eager[output]
    dtype = np.finfo(eager.dtype.name)
    usable = standard.has_reference and reference.exact_of(output) is not None
    elements = Elements.of(reference, output, standard.axes, has_reference=usable)
    tiny = FACTOR * float(dtype.tiny)
    limit, scale = np.full(eager.shape, tiny), np.zeros(eager.shape)
    if elements.magnitude.size:
        groups = elements.groups()
        channel = np.broadcast_to(elements.channel if len(standard.scale) > 1 else 0, elements.channel.shape)
        near = groups.near(elements.magnitude)
        near = near if ordinary else np.maximum(near, standard.scale[channel])
        floor = float(dtype.eps) * (FLOOR_FLOAT64 if eager.dtype == np.float64 else FLOOR)
        relative = floor if usable else max(floor, TOLERANCE[eager.dtype.name] / FACTOR)
        usual = np.maximum(by_channel(elements.magnitude, elements.channel, elements.channels), standard.scale)
        lucky = standard.baseline[channel] * np.minimum(near, usual[elements.channel])
        own = np.maximum(groups.near(elements.error), relative * near)
        limit[elements.moving] = FACTOR * np.maximum(own, lucky) + tiny
        pooled = Groups.of(elements.magnitude, np.zeros_like(elements.channel), 1)
        scale[elements.moving] = np.maximum(pooled.whole(elements.magnitude), standard.scale[channel])
    limit[reference.still[output] & ~elements.moving] = 0.0
    return Tolerance(limit, scale)


def _channels(shape: Sequence[int], axes: Sequence[int]) -> tuple[Ints, int]:
    """For each element of an array the index of its channel, and how many there are."""
    sizes = [shape[axis] for axis in axes]
    numbers = np.arange(prod(sizes)).reshape([shape[axis] if axis in axes else 1 for axis in range(len(shape))])
    return np.broadcast_to(numbers, shape), prod(sizes)


def standard_of(references: Sequence[Reference], output: str, dims: Sequence[Dim], *, has_reference: bool) -> Standard:
    """What these ordinary cases say of an output of these dimensions."""
    axes = tuple(axis for axis, dim in enumerate(dims) if isinstance(dim, int))
    found = [Elements.of(reference, output, axes, has_reference=has_reference) for reference in references]
    full = [elements for elements in found if elements.magnitude.size]
    if not full:
        return replace(NOTHING, axes=axes, has_reference=has_reference)
    channels = full[0].channels
    # In a case of few elements those of two kinds cannot be told apart.
    many = [elements for elements in full if elements.magnitude.size >= FEW * channels] or full
    scales = [
        by_channel(np.where(of_smallest_kind(elements), elements.magnitude, 0.0), elements.channel, channels)
        for elements in many
    ]
    relative = [by_channel(_relative(elements), elements.channel, channels) for elements in full]
    return Standard(
        axes, np.median(relative, axis=0), np.median(scales, axis=0), _deviation(many, channels), has_reference
    )


def of_smallest_kind(elements: Elements) -> NDArray[np.bool_]:
    """Which elements are of the kind of magnitude that the smallest of their channel are."""
    groups = elements.groups()
    return np.asarray(groups.lowest.reshape(-1)[groups.index])


def _deviation(found: Sequence[Elements], channels: int) -> Floats:
    """By channel the standard deviation over these cases."""
    taken = [of_smallest_kind(elements) for elements in found]
    values = np.concatenate([elements.value[usual] for elements, usual in zip(found, taken, strict=True)])
    channel = np.concatenate([elements.channel[usual] for elements, usual in zip(found, taken, strict=True)])
    count = np.maximum(np.bincount(channel, minlength=channels), 1)
    mean = np.bincount(channel, values, channels) / count
    return np.sqrt(np.bincount(channel, (values - mean[channel]) ** 2, channels) / count)


def _relative(elements: Elements) -> Floats:
    """PyTorch's errors relative to the largest magnitude of the channel that is near."""
    groups = elements.groups()
    largest = by_channel(elements.magnitude, elements.channel, elements.channels)[elements.channel]
    near = np.minimum(groups.near(elements.magnitude), largest)
    return np.divide(elements.error, near, out=np.zeros_like(near), where=near > 0)


def by_channel(values: Floats, channel: Ints, channels: int) -> Floats:
    """The largest of the values [n] of each channel; 0 where it has none."""
    largest = np.zeros(channels)
    np.maximum.at(largest, channel, values)
    return largest
