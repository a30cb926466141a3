"""Find where the blocks of a file's tensor stand in the model's: bit for bit, rounded, or in most of their elements."""

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

# So many elements of a block are looked for first; where most of them fit, all are compared.
_PROBES = 5

# A block of few values, such as zeros, fits its probes in many places.
_TRIED = 64

# A nearly equal number has the same bits but for these: sign, exponent and the first digits of the mantissa are equal.
_DIGITS = 5

# Gates times directions, and twice as many for the two biases of each.
_CUTS = (1, 2, 3, 4, 6, 8, 12, 16)


def bits_of(array: Array) -> Bits:
    """The bits of each element, so that NaN equals itself and 0.0 is not -0.0."""
    return np.asarray(np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")).reshape(array.shape)


def coarse_bits(array: Array) -> Bits:
    """The bits of each element without its last digits."""
    mantissa = int(ml_dtypes.finfo(array.dtype).nmant)  # type: ignore[no-untyped-call]
    return np.right_shift(bits_of(array), mantissa - _DIGITS, dtype=f"u{array.dtype.itemsize}")


@dataclass(frozen=True)
class Likeness:
    """The bits that are compared, of the file's numbers and of the model's; `whole`: all must be equal, else most."""

    of_file: Callable[[Array], Bits]
    of_model: Callable[[Array], Bits]
    whole: bool


def _rounded_bits(dtype: Any, array: Array) -> Bits:
    with np.errstate(over="ignore"):
        return bits_of(array.astype(dtype).astype(array.dtype))


EQUAL = Likeness(bits_of, bits_of, whole=True)

NEAR = Likeness(coarse_bits, coarse_bits, whole=False)

# Weights whose precision was lowered, and which still stand in the file as what they were.
LOWER = [
    Likeness(bits_of, partial(_rounded_bits, dtype), whole=True)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float32)
]


@dataclass(frozen=True)
class Match:
    """A block of a tensor of the file, and the box of a tensor of the model that it is or nearly is."""

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


def cuts(array: Array, candidates: Sequence[Candidate], likeness: Likeness) -> Iterator[list[Match]]:
    """The ways to cut a tensor so that each of its blocks is, or nearly is, one of the model's."""
    # A single number is found in any large tensor, but may be one of the biases of one unit.
    fitting = [each for each in candidates if array.size > 1 or each.array.size <= max(_CUTS)]
    for matrix in _ways(array):
        for count in _CUTS:
            if matrix.shape[0] % count == 0:
                matches = _match_all(np.split(matrix, count), fitting, likeness)
                if matches:
                    yield matches


def _ways(array: Array) -> Iterator[Array]:
    """A tensor of the file as matrices whose rows may be cut into blocks."""
    *others, rows = matrices(array)
    yield from (rows, rows.T, *others)
    if array.ndim == 2 and array.shape[0] <= 2:
        yield array.reshape(-1, 1)  # the biases of one or two directions


def _match_all(blocks: Sequence[Array], candidates: Sequence[Candidate], likeness: Likeness) -> list[Match]:
    matches = []
    for block in blocks:
        found = _matches(block, candidates, likeness)
        match = next(found, None) if likeness.whole else min(found, key=lambda each: each.differing, default=None)
        if match is None:
            return []
        matches.append(match)
    return matches


def _matches(block: Array, candidates: Sequence[Candidate], likeness: Likeness) -> Iterator[Match]:
    bits = likeness.of_file(block)
    rows, columns = block.shape
    for each in candidates:
        if each.array.dtype != block.dtype or each.array.size < block.size:
            continue
        for matrix, found in zip(matrices(each.array), matrices(each.found), strict=True):
            place = find_block(bits, likeness.of_model(matrix))
            if place is None:
                continue
            box = (slice(place.row, place.row + rows), slice(place.column, place.column + columns))
            match = Match(block, each, matrix[box], found[box])
            if place.differing == 0 if likeness.whole else _tells(match):
                yield match


def _tells(match: Match) -> bool:
    """Whether a likeness is no accident, as it may be between tensors that are mostly zeros."""
    whole = match.box.size == match.candidate.array.size
    return whole or np.unique(coarse_bits(match.box)[coarse_bits(match.box) == coarse_bits(match.values)]).size > 1


def count_differing(matches: Sequence[Match]) -> int:
    return sum(match.differing for match in matches)


def matrices(array: Any) -> Iterator[Any]:
    """A tensor as matrices, which share its memory: the first axis apart from the others, and all others from the last.

    A vector is a column, a number a matrix of one element.
    """
    if array.ndim < 2:
        yield array.reshape(-1, 1)
        return
    yield array.reshape(array.shape[0], -1)
    if array.ndim > 2:
        yield array.reshape(-1, array.shape[-1])


@dataclass(frozen=True)
class BlockPosition:
    """The upper left corner of a box in a matrix, and how many elements of the block differ from it."""

    row: int
    column: int
    differing: int


def find_block(block: Bits, matrix: Bits) -> BlockPosition | None:
    """The box of a matrix that a block is, or that differs from it in the fewest elements, in less than half of them.

    Both are [rows, columns], the block the smaller one.
    """
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
    """Elements spread over the block, and of those that are unlike the first where there are any."""
    unlike = np.flatnonzero(block != block[0, 0])
    pool = unlike if unlike.size else np.arange(block.size)
    chosen = pool[np.unique(np.linspace(0, pool.size - 1, _PROBES).astype(int))]
    return [(int(k) // block.shape[1], int(k) % block.shape[1]) for k in chosen]
