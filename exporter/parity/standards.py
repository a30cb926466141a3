"""What the ordinary cases say of an output: how large its values and PyTorch's errors usually are, by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..spec.dims import Dim
from .elements import Elements, by_channel, of_usual_kinds
from .magnitudes import FEW, Floats
from .reference import Reference

Usual = Callable[..., Floats]


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

    def for_shape(self, shape: Sequence[int]) -> Standard:
        """The same for an output of this shape; one standard for all channels where these are others."""
        sizes = [shape[axis] for axis in self.axes if axis < len(shape)]
        if len(sizes) == len(self.axes) and prod(sizes) == self.scale.size:
            return self
        baseline, scale, variation = (
            np.max(values, initial=0.0, keepdims=True) for values in (self.baseline, self.scale, self.variation)
        )
        return Standard((), baseline, scale, variation, self.has_reference)


NOTHING = Standard((), np.zeros(1), np.zeros(1), np.zeros(1))


def usual_scale(standard: Standard, shape: Sequence[int]) -> Floats:
    """The usual scale of each channel, to be broadcast over an output of that shape."""
    fitting = standard.for_shape(shape)
    return fitting.scale.reshape([size if axis in fitting.axes else 1 for axis, size in enumerate(shape)])


def standard_of(
    references: Sequence[Reference], output: str, dims: Sequence[Dim], *, has_reference: bool, usual: Usual = np.median
) -> Standard:
    """What these ordinary cases say of an output of these dimensions; `usual` makes one baseline of the cases'."""
    axes = tuple(axis for axis, dim in enumerate(dims) if isinstance(dim, int))
    found = [Elements.of(reference, output, axes, has_reference=has_reference) for reference in references]
    full = [elements for elements in found if elements.magnitude.size]
    if not full:
        return replace(NOTHING, axes=axes, has_reference=has_reference)
    channels = full[0].channels
    # In a case of few elements those of two kinds cannot be told apart.
    many = [elements for elements in full if elements.magnitude.size >= FEW * channels] or full
    scales = [
        by_channel(np.where(of_usual_kinds(elements), elements.magnitude, 0.0), elements.channel, channels)
        for elements in many
    ]
    relative = [_relative(elements) for elements in full]
    return Standard(
        axes,
        np.asarray(usual(relative, axis=0)),
        np.median(scales, axis=0),
        _deviation(many, channels),
        has_reference,
    )


def _deviation(found: Sequence[Elements], channels: int) -> Floats:
    """By channel the standard deviation over these cases."""
    taken = [of_usual_kinds(elements) for elements in found]
    values = np.concatenate([elements.value[usual] for elements, usual in zip(found, taken, strict=True)])
    channel = np.concatenate([elements.channel[usual] for elements, usual in zip(found, taken, strict=True)])
    count = np.maximum(np.bincount(channel, minlength=channels), 1)
    largest = max(float(np.abs(values).max(initial=0.0)), 1.0)
    values = values / largest  # whose squares do not overflow
    mean = np.bincount(channel, values, channels) / count
    return largest * np.sqrt(np.bincount(channel, (values - mean[channel]) ** 2, channels) / count)


def _relative(elements: Elements) -> Floats:
    """By channel PyTorch's largest error relative to the largest magnitude, of the usual kinds of elements."""
    usual = of_usual_kinds(elements)
    errors, largest = (
        by_channel(np.where(usual, values, 0.0), elements.channel, elements.channels)
        for values in (elements.error, elements.magnitude)
    )
    return np.divide(errors, largest, out=np.zeros_like(errors), where=largest > 0)
