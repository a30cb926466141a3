"""Proving one model file: in one pass, and where its states are explicit, in chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..pytorch.samples import _LENGTHS, LONG, Case, Values
from ..spec.signature import Signature
from ..spec.streams import StreamSpec


def cases_for(
    streams: Sequence[StreamSpec | None], signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds
) -> list[Case]:
    """The cases of `make_cases`, and for streams a long one."""
    times = {stream.time for stream in streams if stream is not None}
    long = [case for time in sorted(times) for case in drift_cases(time, signature, seed)]
    return [*make_cases(signature, traced, seed, bounds), *long]


Array = NDArray[np.generic]

# So many steps are carried one at a time, to see whether rounding errors grow with them.
DRIFT = 2_000


def drift_cases(time: str, signature: Signature, seed: int) -> list[Case]:
    """One long sequence of ordinary values; every other size is 1."""
    return [Case({**dict.fromkeys(signature.symbols, 1), time: DRIFT}, "ordinary", seed + DRIFT)]


Bounds = Mapping[str, Mapping[str, int]]

# Beyond this a case at a bound takes too long; the bound is said all the same.
_LONGEST = 10_000
_SIZES = (1, 2, 3, 17)


def make_cases(signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds | None = None) -> list[Case]:
    """Every kind of size and of value: the traced sizes, all 1, each alone at 1, 2, 3, 17 and long, and mixtures.

    Args:
        bounds: sizes that the capture took for bounds; at each, and one beyond, there is a case.

    Raises:
        InputError: the seed is negative or beyond 32 bits.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"The seed {seed} cannot be used. Give a number from 0 to {2**32 - 1}.")
    combinations = _combinations(signature.symbols, traced, bounds or {})
    kinds: list[Values] = ["zero"]
    if any(spec.is_float for spec in signature.inputs.values()):
        kinds += ["saturating", "denormal", "infinite", "nan"]
    if any(spec.has_lengths for spec in signature.inputs.values()):
        kinds += _LENGTHS
    return [Case(sizes, "ordinary", seed + i) for i, sizes in enumerate(combinations)] + [
        Case(dict(traced), kind, seed + len(combinations) + i) for i, kind in enumerate(kinds)
    ]


def long_cases(signature: Signature, lengths: Sequence[int], seed: int) -> list[Case]:
    """One sequence of ordinary values for each length; none where no dimension is called T."""
    if "T" not in signature.symbols:
        return []
    ones = dict.fromkeys(signature.symbols, 1)
    return [Case({**ones, "T": length}, "ordinary", (seed + length) % 2**32) for length in lengths]


def _combinations(symbols: Sequence[str], traced: Mapping[str, int], bounds: Bounds) -> list[dict[str, int]]:
    found = [dict(traced), *(dict.fromkeys(symbols, size) for size in (1, 2))]
    for symbol in symbols:
        found += [{**traced, symbol: size} for size in _SIZES]
        found += [{**dict.fromkeys(symbols, 2), symbol: LONG}, {**dict.fromkeys(symbols, 1), symbol: LONG}]
    for symbol, bound in bounds.items():
        edges = [*range(max(1, bound.get("min", 1) - 1), bound.get("min", 0) + 1)]
        edges += [size for size in (bound.get("max", 0), bound.get("max", 0) + 1) if 1 < size <= _LONGEST]
        found += [{**dict.fromkeys(symbols, 2), symbol: size} for size in edges]
    distinct = {tuple(sizes.values()): sizes for sizes in found}
    return list(distinct.values())
