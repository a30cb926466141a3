"""The elements of an output that limits are made for, and which channel each belongs to.

A channel is an index into the dimensions of fixed size: one unit of a layer, one class of a classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from .magnitudes import FEW, Floats, Groups, Ints
from .reference import Reference


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

    @cached_property
    def groups(self) -> Groups:
        """By channel and magnitude; by magnitude alone where a channel has few elements."""
        if self.magnitude.size < FEW * self.channels:
            return Groups.of(self.magnitude, np.zeros_like(self.channel), 1)
        return Groups.of(self.magnitude, self.channel, self.channels)


def _channels(shape: Sequence[int], axes: Sequence[int]) -> tuple[Ints, int]:
    """For each element of an array the index of its channel, and how many there are."""
    sizes = [shape[axis] for axis in axes]
    numbers = np.arange(prod(sizes)).reshape([shape[axis] if axis in axes else 1 for axis in range(len(shape))])
    return np.broadcast_to(numbers, shape), prod(sizes)


# A kind of magnitude that varies by less than this share of itself is a filler.
_FILLER = 1e-3


def of_usual_kinds(elements: Elements) -> NDArray[np.bool_]:
    """Which elements are of the smallest kind of magnitude in their channel, or of a larger one that is no filler."""
    groups = elements.groups
    kind, count = groups.kind, groups.counts.size
    many = np.maximum(np.bincount(kind, minlength=count), 1)
    relative = elements.value / np.maximum(groups.whole(elements.magnitude), np.finfo(float).tiny)
    mean = np.bincount(kind, relative, count) / many
    varies = np.bincount(kind, (relative - mean[kind]) ** 2, count) / many > _FILLER**2
    return np.asarray(groups.lowest.reshape(-1)[groups.index] | varies[kind])


def by_channel(values: Floats, channel: Ints, channels: int) -> Floats:
    """The largest of the values [n] of each channel; 0 where it has none."""
    largest = np.zeros(channels)
    np.maximum.at(largest, channel, values)
    return largest
