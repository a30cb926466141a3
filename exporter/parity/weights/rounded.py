"""Weights that stand in a file as int8: what their scales make of them, and what a model's own come to so.

Each output channel has a scale of its own, so that a channel comes out the same wherever it stands in a matrix; a part
of it, where two products share the matrix, has another one. Rounding is done as `optimize.quantization` does it, which
gives the same bits each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...optimize.quantization import Quantized, quantize_channels
from .owned import Owned

Array = NDArray[Any]
Marks = Mapping[str, NDArray[np.bool_]]


def scaled(quantized: Quantized) -> Array:
    """int8 [..., K, M] with scales [..., M] as float32 [channels, K], one channel after the other."""
    values = quantized.values.astype(np.float32) * quantized.scales.astype(np.float32)[..., None, :]
    return np.ascontiguousarray(np.swapaxes(values, -1, -2).reshape(-1, values.shape[-2]))


def rounded_whole(owned: Sequence[Owned], marks: Marks, width: int) -> list[Owned]:
    """What the matrices of a model become whose rows, or whose columns, are channels of so many weights.

    What is found is marked in `marks`, by tensor.
    """
    whole = ((each, matrix, found) for each, matrix, found in _matrices(owned, marks) if matrix.shape[1] == width)
    return [Owned(each.parts, _round(matrix), found) for each, matrix, found in whole]


def rounded_ends(owned: Sequence[Owned], marks: Marks, width: int) -> list[Owned]:
    """The same of longer channels, of which only the first or the last so many weights are taken."""
    longer = ((each, matrix, found) for each, matrix, found in _matrices(owned, marks) if matrix.shape[1] > width)
    return [
        Owned(each.parts, _round(matrix[:, end]), found[:, end])
        for each, matrix, found in longer
        for end in (slice(width), slice(-width, None))
    ]


def _matrices(owned: Sequence[Owned], marks: Marks) -> Iterator[tuple[Owned, Array, NDArray[np.bool_]]]:
    for each in owned:
        if each.array.ndim == 2 and each.array.dtype == np.float32:
            yield each, each.array, marks[each.name]
            yield each, each.array.T, marks[each.name].T


def _round(channels: Array) -> Array:
    return scaled(quantize_channels(channels.T))
