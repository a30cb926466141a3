"""Choose the sizes that a probe tries: small ones densely, large ones, and those around the numbers that code names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from math import isqrt, prod

import numpy as np

from ..spec.signature import Signature, TensorSpec

Sizes = dict[str, int]

# Every size up to this is tried, at each of these of the other dimensions.
DENSE = 33
_BESIDE = (1, 2, 3, 4, 8)
_LARGE = ((40, 40), (257, 5), (5, 257), (128, 16), (16, 128), (65, 33), (130, 3), (700, 2))

# The largest number to try as a size; attention computes its square.
LARGEST = 4_100
_ALONE = 1_024

# The most elements of the dynamic dimensions together.
_MOST = 20_000


def sizes_for(
    signature: Signature, named: Sequence[int], stored: Sequence[int] = (), least: Mapping[str, int] | None = None
) -> list[Sizes]:
    """The sizes to try, the most telling of each kind first, so that any number of them is a fair choice.

    Args:
        named: the numbers that the model's code names.
        stored: the numbers in the file, most of which are widths of layers.
        least: the least sizes that the model runs at, from which small ones are counted.
    """
    symbols = sorted(signature.symbols, key=lambda name: name != "T")
    beyond = {name: size - 1 for name, size in (least or {}).items()}
    kinds = [
        _near(symbols, named),
        _counted(_steps(symbols), beyond),
        _products(signature, symbols, named),
        _near(symbols, sorted({*stored}.difference(named))),
        _large(symbols),
        _counted(_near(symbols, named), beyond) if beyond else iter(()),
    ]
    found = chain.from_iterable(zip_longest(*kinds))
    distinct = {tuple(sizes.items()): sizes for sizes in found if sizes is not None}
    return [
        sizes
        for sizes in distinct.values()
        if prod(sizes.values()) <= max(_MOST, LARGEST + 2) and all(sizes[name] > size for name, size in beyond.items())
    ]


def _counted(found: Iterator[Sizes], beyond: Mapping[str, int]) -> Iterator[Sizes]:
    """The same sizes, counted from the least that the model runs at: what is left of them in the middle is small."""
    for sizes in found:
        yield {name: size + beyond.get(name, 0) for name, size in sizes.items()}


def _steps(symbols: Sequence[str]) -> Iterator[Sizes]:
    """Each dimension at every small size, in an order that leaves no stretch to the end."""
    dense = np.random.default_rng(DENSE).permutation(DENSE) + 1
    for beside in _BESIDE if len(symbols) > 1 else _BESIDE[:1]:
        for size in dense.tolist():
            for symbol in symbols:
                if symbol == symbols[0] or beside <= _BESIDE[2]:
                    yield {**dict.fromkeys(symbols, beside), symbol: size}


def _large(symbols: Sequence[str]) -> Iterator[Sizes]:
    """The first two dimensions large at once."""
    for pair in _LARGE:
        yield {**dict.fromkeys(symbols, 2), **dict(zip(symbols, pair, strict=False))}


def _near(symbols: Sequence[str], numbers: Sequence[int]) -> Iterator[Sizes]:
    """Each dimension at each number and next to it, the others at 2, or at 1 where the number is large."""
    for change in (0, 1, -1, 2, -2, None):
        for number in numbers:
            size = 2 * number if change is None else number + change
            if 1 <= size <= LARGEST + 2:
                for symbol in symbols:
                    beside = 1 if size > _ALONE or change == -1 else 2
                    yield {**dict.fromkeys(symbols, beside), symbol: size}


def _products(signature: Signature, symbols: Sequence[str], numbers: Sequence[int]) -> Iterator[Sizes]:
    """Sizes at which the elements or bytes of an input, or of its dynamic dimensions, are near each number."""
    shared = [tuple(spec.symbols) for spec in signature.inputs.values() if len(spec.symbols) > 1]
    pairs = {*shared, *([tuple(symbols[:2])] if len(symbols) > 1 else [])}
    factors = sorted({1, *chain.from_iterable(map(_elements, signature.inputs.values()))})
    for change in (0, 1, -1):
        for number in numbers:
            for factor in factors:
                product = number // factor + change
                for pair in sorted(pairs):
                    for first, second in _splits(product):
                        yield {**dict.fromkeys(symbols, 1), pair[0]: first, pair[1]: second}
                if factor > 1 and 1 <= product <= LARGEST:
                    yield from ({**dict.fromkeys(symbols, 1), symbol: product} for symbol in symbols)


def _elements(spec: TensorSpec) -> tuple[int, int]:
    """How many elements, and how many bytes, one of each dynamic dimension has."""
    fixed = prod(dim for dim in spec.shape if isinstance(dim, int))
    return fixed, fixed * np.dtype(spec.dtype).itemsize


def _splits(product: int) -> Iterator[tuple[int, int]]:
    """The most even way to write a number as a product, and the one with the smallest second factor above 1."""
    if not 1 <= product <= _MOST:
        return
    divisors = [second for second in range(2, isqrt(product) + 1) if product % second == 0]
    for second in {*divisors[:1], *divisors[-1:]}:
        if product // second <= LARGEST:
            yield product // second, second
