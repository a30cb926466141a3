"""Where a block of numbers lies in a matrix: bit for bit, or in most of its elements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.unsignedinteger]

# So many elements of a block are looked for first; where most of them fit, all are compared.
_PROBES = 5

# A block of few values, such as zeros, fits its probes in many places.
_TRIED = 64


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
