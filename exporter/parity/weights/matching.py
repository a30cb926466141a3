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


def match_blocks(array: Array, candidates: Sequence[Candidate], criterion: Criterion) -> Iterator[list[Match]]:
    """For each way to cut a tensor of the file that matches each of its blocks: the matches."""
    # A single number occurs in any large tensor, but may be a bias of a layer with one unit.
    fitting = [each for each in candidates if array.size > 1 or each.array.size <= max(_CUTS)]
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


def _match_each(blocks: Sequence[Array], candidates: Sequence[Candidate], criterion: Criterion) -> list[Match]:
    """A match for every block, or none at all."""
    matches = []
    for block in blocks:
        found = _matches(block, candidates, criterion)
        match = (
            next(found, None) if criterion.all_elements else min(found, key=lambda each: each.differing, default=None)
        )
        if match is None:
            return []
        matches.append(match)
    return matches


def _matches(block: Array, candidates: Sequence[Candidate], criterion: Criterion) -> Iterator[Match]:
    bits = criterion.of_file(block)
    rows, columns = block.shape
    for each in candidates:
        if each.array.dtype != block.dtype or each.array.size < block.size:
            continue
        for matrix, found in zip(matrices(each.array), matrices(each.found), strict=True):
            place = find_block(bits, criterion.of_model(matrix))
            if place is None:
                continue
            box = (slice(place.row, place.row + rows), slice(place.column, place.column + columns))
            match = Match(block, each, matrix[box], found[box])
            if place.differing == 0 if criterion.all_elements else _is_significant(match):
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


@dataclass(frozen=True)
class BlockPosition:
    """The first row and column of a box in a matrix, and how many elements of the block differ from it."""

    row: int
    column: int
    differing: int


def find_block(block: Bits, matrix: Bits) -> BlockPosition | None:
    """The box of a matrix [rows, columns] that differs from a block in the fewest elements; None if in half or more."""
    rows, columns = (have - size + 1 for have, size in zip(matrix.shape, block.shape, strict=True))
    if rows < 1 or columns < 1 or not block.size:
        return None
    probes = _probes(block)
    agreeing = np.zeros((rows, columns), np.int8)
    for i, j in probes:
        agreeing += matrix[i : i + rows, j : j + columns] == block[i, j]
    corners = np.argwhere(agreeing > len(probes) // 2)
    likely = np.argsort(-agreeing[corners[:, 0], corners[:, 1]], kind="stable")[:_TRIED]
    best: BlockPosition | None = None
    for row, column in corners[likely]:
        box = matrix[row : row + block.shape[0], column : column + block.shape[1]]
        place = BlockPosition(int(row), int(column), int(np.count_nonzero(box != block)))
        if best is None or place.differing < best.differing:
            best = place
        if best.differing == 0:
            break
    return best if best is not None and 2 * best.differing < block.size else None


def _probes(block: Bits) -> list[tuple[int, int]]:
    """Positions spread over the block, or over those of its elements that differ from the first, if any do."""
    unlike = np.flatnonzero(block != block[0, 0])
    pool = unlike if unlike.size else np.arange(block.size)
    chosen = pool[np.unique(np.linspace(0, pool.size - 1, _PROBES).astype(int))]
    return [(int(k) // block.shape[1], int(k) % block.shape[1]) for k in chosen]
