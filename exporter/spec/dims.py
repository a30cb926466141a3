"""The dimensions of a model's outputs, in terms of its inputs' symbols, found by running it at two sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod

Dim = str | int | None


def infer_dims(sizes: Sequence[Mapping[str, int]], shapes: Sequence[Sequence[int]]) -> tuple[Dim, ...]:
    """Name each dimension of one output.

    Args:
        sizes: the symbols' sizes at each run.
        shapes: the output's shape at each run.

    Returns:
        A number where it never changes, a symbol or a product such as "T*N" where that fits every run, else None.
    """
    ranks = {len(shape) for shape in shapes}
    if len(ranks) != 1:
        return ()
    return tuple(_name(sizes, lengths) for lengths in zip(*shapes, strict=True))


def _name(sizes: Sequence[Mapping[str, int]], lengths: Sequence[int]) -> Dim:
    if len(set(lengths)) == 1:
        return lengths[0]
    symbols = list(sizes[0])
    for count in range(1, len(symbols) + 1):
        for names in combinations(symbols, count):
            if all(prod(run[name] for name in names) == length for run, length in zip(sizes, lengths, strict=True)):
                return "*".join(names)
    return None


def parse(described: str) -> tuple[str, tuple[Dim, ...]]:
    """The dtype and the dimensions that `spell` made text of."""
    dtype, _, rest = described.partition("[")
    dims = rest.removesuffix("]").split(", ") if rest != "]" else []
    return dtype, tuple(None if dim == "?" else int(dim) if dim.isdecimal() else dim for dim in dims)


def spell(dtype: str, dims: Sequence[Dim]) -> str:
    """`float32[T*N, 3]`, with `?` for a dimension that has no name."""
    return f"{dtype}[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"
