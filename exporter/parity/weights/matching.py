"""Match the blocks of a file's tensor with boxes of the model's tensors: bit for bit, rounded, or nearly.

A tensor is cut into as many equal blocks of rows as it may have gates and directions; a box is rows i to j, columns k
to l of a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from .candidates import Candidate

Array = NDArray[Any]
Bits = NDArray[np.unsignedinteger]

# Elements of a block to look for first; where most of them match, all are compared.
_PROBES = 5

# Places to compare at most: a block of few distinct values, such as zeros, matches its probes in many.
_TRIED = 64

# Two numbers are near if their sign, exponent and this many leading digits of the mantissa are equal.
_DIGITS = 5

# Gates times directions, and twice as many for the two biases of each.
_CUTS = (1, 2, 3, 4, 6, 8, 12, 16)


def bits_of(array: Array) -> Bits:
    """The bits of each element, so that NaN equals itself and 0.0 differs from -0.0."""
    return np.asarray(np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")).reshape(array.shape)


def coarse_bits(array: Array) -> Bits:
    """The bits of each element without the last digits of its mantissa."""
    mantissa = int(ml_dtypes.finfo(array.dtype).nmant)  # type: ignore[no-untyped-call]
    return np.right_shift(bits_of(array), mantissa - _DIGITS, dtype=f"u{array.dtype.itemsize}")


@dataclass(frozen=True)
class Criterion:
    """Which bits of the file's and the model's numbers must be equal for a match, in all elements or in most."""

    of_file: Callable[[Array], Bits]
    of_model: Callable[[Array], Bits]
    all_elements: bool


def _rounded_bits(dtype: Any, array: Array) -> Bits:
    with np.errstate(over="ignore"):
        return bits_of(array.astype(dtype).astype(array.dtype))


EQUAL = Criterion(bits_of, bits_of, all_elements=True)
NEAR = Criterion(coarse_bits, coarse_bits, all_elements=False)

# Weights that were rounded to a lower precision and are stored in their original dtype.
ROUNDED = [
    Criterion(bits_of, partial(_rounded_bits, dtype), all_elements=True)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float32)
]


@dataclass(frozen=True)
class Match:
    """A block of a file's tensor, the box of the candidate that it matches, and the marks of that box."""

    values: Array
    candidate: Candidate
    box: Array
    found: NDArray[np.bool_]

    @property
    def differs(self) -> NDArray[np.bool_]:
        return np.asarray(bits_of(self.values) != bits_of(self.box))

    @property
    def differing(self) -> int:
        return int(np.count_nonzero(self.differs))


@dataclass(frozen=True)
class _Place:
    """A candidate as one of its matrices: its numbers, the marks of what was found, and the bits to look for."""

    candidate: Candidate
    matrix: Array
    found: NDArray[np.bool_]
    bits: Bits


def match_blocks(array: Array, candidates: Sequence[Candidate], criterion: Criterion) -> Iterator[list[Match]]:
    """For each way to cut a tensor of the file that matches each of its blocks: the matches."""
    fitting = [
        _Place(each, matrix, found, criterion.of_model(matrix))
        for each in candidates
        # A single number occurs in any large tensor, but may be a bias of a layer with one unit.
        if each.array.dtype == array.dtype and (array.size > 1 or each.array.size <= max(_CUTS))
        for matrix, found in zip(matrices(each.array), matrices(each.found), strict=True)
    ]
    for matrix in _orientations(array):
        for count in _CUTS:
            if matrix.shape[0] % count == 0:
                matches = _match_each(np.split(matrix, count), fitting, criterion)
                if matches:
                    yield matches


def count_differing(matches: Sequence[Match]) -> int:
    return sum(match.differing for match in matches)


def _orientations(array: Array) -> Iterator[Array]:
    """A tensor of the file as matrices whose rows can be cut into blocks."""
    *others, rows = matrices(array)
    yield from (rows, rows.T, *others)
    if array.ndim == 2 and array.shape[0] <= 2:
        yield array.reshape(-1, 1)  # the biases of one or two directions


def _match_each(blocks: Sequence[Array], places: Sequence[_Place], criterion: Criterion) -> list[Match]:
    """A match for every block, or none at all."""
    matches = []
    for block in blocks:
        found = _matches(block, places, criterion)
        match = (
            next(found, None) if criterion.all_elements else min(found, key=lambda each: each.differing, default=None)
        )
        if match is None:
            return []
        matches.append(match)
    return matches


def _matches(block: Array, places: Sequence[_Place], criterion: Criterion) -> Iterator[Match]:
    if not block.size:
        return
    bits = criterion.of_file(block)
    probes = _probes(bits)
    find = find_equal if criterion.all_elements else find_nearest
    rows, columns = block.shape
    for each in places:
        corner = find(bits, probes, each.bits)
        if corner is None:
            continue
        box = (slice(corner[0], corner[0] + rows), slice(corner[1], corner[1] + columns))
        match = Match(block, each.candidate, each.matrix[box], each.found[box])
        if criterion.all_elements or _is_significant(match):
            yield match


def _is_significant(match: Match) -> bool:
    """Whether a near match is no accident, as one between tensors that are mostly zeros may be."""
    whole = match.box.size == match.candidate.array.size
    return whole or np.unique(coarse_bits(match.box)[coarse_bits(match.box) == coarse_bits(match.values)]).size > 1


def matrices(array: Any) -> Iterator[Any]:
    """Views of a tensor as a matrix: rows along the first axis, and above two dimensions also columns along the last.

    A vector is one column, a scalar a matrix of one element.
    """
    if array.ndim < 2:
        yield array.reshape(-1, 1)
        return
    yield array.reshape(array.shape[0], -1)
    if array.ndim > 2:
        yield array.reshape(-1, array.shape[-1])


Corner = tuple[int, int]
Probes = Sequence[Corner]


def find_equal(block: Bits, probes: Probes, matrix: Bits) -> Corner | None:
    """The first row and column of a box of a matrix [rows, columns] that equals a block."""
    agreeing = np.ones(_corners(block, matrix), np.bool_)
    for i, j in probes:
        if not agreeing.any():
            return None
        agreeing &= matrix[i : i + agreeing.shape[0], j : j + agreeing.shape[1]] == block[i, j]
    corners = np.argwhere(agreeing)[:_TRIED].tolist()
    return next(((row, column) for row, column in corners if not _differing(block, matrix, row, column)), None)


def find_nearest(block: Bits, probes: Probes, matrix: Bits) -> Corner | None:
    """The first row and column of the box that differs from a block in the fewest elements; None if in half or more."""
    rows, columns = _corners(block, matrix)
    agreeing = np.zeros((rows, columns), np.int8)
    for i, j in probes:
        agreeing += matrix[i : i + rows, j : j + columns] == block[i, j]
    corners = np.argwhere(agreeing > len(probes) // 2)
    likely = corners[np.argsort(-agreeing[corners[:, 0], corners[:, 1]], kind="stable")[:_TRIED]].tolist()
    differing = [_differing(block, matrix, row, column) for row, column in likely]
    if not likely or 2 * min(differing) >= block.size:
        return None
    row, column = likely[differing.index(min(differing))]
    return row, column


def _corners(block: Bits, matrix: Bits) -> tuple[int, int]:
    """How many boxes of a block's size there are in a matrix, along its rows and its columns."""
    rows, columns = (max(have - size + 1, 0) for have, size in zip(matrix.shape, block.shape, strict=True))
    return rows, columns


def _differing(block: Bits, matrix: Bits, row: int, column: int) -> int:
    box = matrix[row : row + block.shape[0], column : column + block.shape[1]]
    return int(np.count_nonzero(box != block))


def _probes(block: Bits) -> Probes:
    """Positions spread over the block, or over those of its elements that differ from the first, if any do."""
    unlike = np.flatnonzero(block != block[0, 0])
    pool = unlike if unlike.size else np.arange(block.size)
    chosen = pool[np.unique(np.linspace(0, pool.size - 1, _PROBES).astype(int))]
    return [(int(k) // block.shape[1], int(k) % block.shape[1]) for k in chosen]
