"""What a block of a file may be: a tensor of the model, the sum of two, or what int8 rounding makes of one.

Each output channel has its own int8 scale, so a channel is rounded the same way wherever it is in a matrix. Where two
products share a matrix, each part of a channel has its own scale. Rounding uses `optimize.quantization`, which always
gives the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...optimize.quantization import Quantized, quantize_channels

Array = NDArray[Any]
Marks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Candidate:
    """A tensor of the model, or the sum of two; `found` marks the elements that the file was found to hold."""

    parts: tuple[str, ...]
    array: Array
    found: NDArray[np.bool_]

    @property
    def name(self) -> str:
        return " + ".join(self.parts)

    @property
    def module(self) -> str:
        """The name of its layer."""
        return self.parts[0].rpartition(".")[0]


def candidates_of(model: Mapping[str, Array]) -> list[Candidate]:
    """The tensors of a model, smallest first; equal tensors share their marks."""
    marks: dict[tuple[Any, ...], NDArray[np.bool_]] = {}
    candidates = []
    for name, array in sorted(model.items(), key=lambda item: item[1].size):
        same = (array.dtype, array.shape, hash(array.tobytes()))
        candidates.append(Candidate((name,), array, marks.setdefault(same, np.zeros(array.shape, np.bool_))))
    return [each for each in candidates if each.array.size]


def layer_sums(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The sums of two tensors of one layer that were not found: two biases, or a bias and the rows of a matrix."""
    left = [each for each in candidates if not each.found.all()]
    return [
        Candidate((*one.parts, *other.parts), total, np.zeros(total.shape, np.bool_))
        for one, other in permutations(left, 2)
        if one.module == other.module and other.array.ndim == 1 and (one.array.ndim > 1 or one.name < other.name)
        for total in _sums(one.array, other.array)
    ]


def _sums(one: Array, other: Array) -> Iterator[Array]:
    """A vector added to another, or to the rows or the columns of a matrix."""
    if one.dtype != other.dtype or one.ndim > 2:
        return
    if one.ndim and one.shape[-1] == other.size:
        yield one + other
    if one.ndim == 2 and one.shape[0] == other.size:
        yield one + other[:, None]


def mark_parts(candidates: Sequence[Candidate], sums: Sequence[Candidate]) -> None:
    """Mark the tensors whose sums were found, and zero vectors that may have been added to a tensor that was found."""
    named = {each.name: each for each in candidates}
    for total in sums:
        for part in (named[name] for name in total.parts):
            if part.array.shape == total.array.shape:
                part.found[...] |= total.found
            elif total.found.all():
                part.found[...] = True
    for each in candidates:
        others = [other for other in candidates if other is not each and other.module == each.module]
        if each.array.ndim == 1 and not each.array.any() and any(_may_include(other, each) for other in others):
            each.found[...] = True


def _may_include(other: Candidate, vector: Candidate) -> bool:
    return vector.array.size in other.array.shape and bool(other.found.all())


def scaled(quantized: Quantized) -> Array:
    """int8 [..., K, M] with scales [..., M] as float32 [channels, K], one channel after the other."""
    values = quantized.values.astype(np.float32) * quantized.scales.astype(np.float32)[..., None, :]
    return np.ascontiguousarray(np.swapaxes(values, -1, -2).reshape(-1, values.shape[-2]))


def rounded_whole(candidates: Sequence[Candidate], marks: Marks, width: int) -> list[Candidate]:
    """The model's matrices after int8 rounding, if their rows or columns are channels of this many weights.

    What is found of them is marked in `marks`, by tensor.
    """
    whole = ((each, matrix, found) for each, matrix, found in _matrices(candidates, marks) if matrix.shape[1] == width)
    return [Candidate(each.parts, _round(matrix), found) for each, matrix, found in whole]


def rounded_ends(candidates: Sequence[Candidate], marks: Marks, width: int) -> list[Candidate]:
    """The same for longer channels, cut to their first or last `width` weights."""
    longer = ((each, matrix, found) for each, matrix, found in _matrices(candidates, marks) if matrix.shape[1] > width)
    return [
        Candidate(each.parts, _round(matrix[:, end]), found[:, end])
        for each, matrix, found in longer
        for end in (slice(width), slice(-width, None))
    ]


def _matrices(candidates: Sequence[Candidate], marks: Marks) -> Iterator[tuple[Candidate, Array, NDArray[np.bool_]]]:
    for each in candidates:
        if each.array.ndim == 2 and each.array.dtype == np.float32:
            yield each, each.array, marks[each.name]
            yield each, each.array.T, marks[each.name].T


def _round(channels: Array) -> Array:
    return scaled(quantize_channels(channels.T))
