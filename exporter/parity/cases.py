"""Choose the cases to verify: sizes of the dynamic dimensions, and kinds of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..pytorch.samples import LENGTH_KINDS, LONG, Case, has_kind
from ..spec.artifact import Values
from ..spec.option_values import check_seed
from ..spec.signature import Signature
from ..spec.streams import StreamSpec

Bounds = Mapping[str, Mapping[str, int]]

# Steps of the long case for streams, in which every other size is 1: do rounding errors grow as states are carried?
DRIFT = 2_000

# A case at a bound beyond this would take too long; the export still reports the bound.
_LONGEST = 10_000
_SIZES = (1, 2, 3, 17)
_KINDS: tuple[Values, ...] = ("zero", "saturating", "denormal", "infinite", "nan", *LENGTH_KINDS)

# So far from the seed of the first case is that of the first random one beside an example.
_RANDOM = 3_000


def cases_for(
    streams: Sequence[StreamSpec | None], signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds
) -> list[Case]:
    """The cases of `make_cases`, and a long one for each time dimension of the streams."""
    times = {stream.time for stream in streams if stream is not None}
    long = [_drift_case(time, signature, seed) for time in sorted(times)]
    return [*make_cases(signature, traced, seed, bounds), *long]


def make_cases(signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds | None = None) -> list[Case]:
    """Every kind of size and value: the traced sizes, all 1, all 2, each alone at 1, 2, 3, 17 and 257.

    Args:
        traced: the sizes that the model was captured at.
        bounds: a `min` or `max` by symbol that the capture assumed; there is a case at each, and one beyond.

    Raises:
        InputError: the seed is no whole number of 32 bits.
    """
    check_seed(seed)
    combinations = _combinations(signature.symbols, traced, bounds or {})
    kinds = [kind for kind in _KINDS if has_kind(signature, kind)]
    return [Case(sizes, "ordinary", seed + i) for i, sizes in enumerate(combinations)] + [
        Case(dict(traced), kind, seed + len(combinations) + i) for i, kind in enumerate(kinds)
    ]


def random_cases(signature: Signature, traced: Mapping[str, int], seed: int) -> list[Case]:
    """Random values beside an example, so that cases are never the caller's alone: at the traced sizes, 1, 2, 3, 17."""
    sizes = [dict(traced), *(dict.fromkeys(signature.symbols, size) for size in _SIZES)]
    distinct = {tuple(each.values()): each for each in sizes}
    return [Case(each, "random", seed + _RANDOM + i) for i, each in enumerate(distinct.values())]


def _drift_case(time: str, signature: Signature, seed: int) -> Case:
    return Case({**dict.fromkeys(signature.symbols, 1), time: DRIFT}, "ordinary", seed + DRIFT)


def long_cases(signature: Signature, lengths: Sequence[int], seed: int) -> list[Case]:
    """One sequence of ordinary values per length, if the signature has a dimension T; else none."""
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
