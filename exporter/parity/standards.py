"""What the ordinary cases say of an output: how large its values and PyTorch's errors usually are, by channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..spec.dims import Dim
from .elements import Elements, by_channel, of_smallest_kind
from .magnitudes import FEW, Floats
from .reference import Reference


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


def usual_scale(standard: Standard, shape: Sequence[int]) -> Floats:
    """The usual scale of each channel, to be broadcast over an output of that shape."""
    if standard.scale.size == 1:
        return standard.scale
    return standard.scale.reshape([size if axis in standard.axes else 1 for axis, size in enumerate(shape)])


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
    groups = elements.groups
    largest = by_channel(elements.magnitude, elements.channel, elements.channels)[elements.channel]
    near = np.minimum(groups.near(elements.magnitude), largest)
    return np.divide(elements.error, near, out=np.zeros_like(near), where=near > 0)
