"""Weights that stand in a file as int8: what their scales make of them, and what a model's own come to so.

Each output channel has a scale of its own, so that a channel comes out the same wherever it stands in a matrix; a part
of it, where two products share the matrix, has another one. Rounding is done as `passes.quantization` does it, which
gives the same bits each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...passes.quantization import Quantized, quantize_channels
from .owned import Owned

Array = NDArray[Any]


def scaled(quantized: Quantized) -> Array:
    """int8 [..., K, M] with scales [..., M] as float32 [channels, K], one channel after the other."""
    values = quantized.values.astype(np.float32) * quantized.scales.astype(np.float32)[..., None, :]
    return np.ascontiguousarray(np.swapaxes(values, -1, -2).reshape(-1, values.shape[-2]))


def rounded(owned: Sequence[Owned], marks: Mapping[str, NDArray[np.bool_]], width: int) -> Iterator[Owned]:
    """What the matrices of a model become, the rows or the columns as channels, that have so many weights.

    Of longer channels the first and the last so many are taken. What is found is marked in `marks`, by tensor.
    """
    for each in owned:
        if each.array.ndim == 2 and each.array.dtype == np.float32:
            for matrix, found in ((each.array, marks[each.name]), (each.array.T, marks[each.name].T)):
                for columns in _columns(matrix.shape[1], width):
                    yield Owned(each.parts, scaled(quantize_channels(matrix[:, columns].T)), found[:, columns])


def _columns(have: int, width: int) -> list[slice]:
    if have < width:
        return []
    return [slice(None)] if have == width else [slice(width), slice(have - width, None)]
