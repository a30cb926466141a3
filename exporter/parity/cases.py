"""Choose the cases to verify: sizes of the dynamic dimensions, and kinds of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..pytorch.samples import LENGTH_KINDS, LONG, Case, has_kind
from ..spec.artifact import Values
from ..spec.option_values import check_seed
from ..spec.signature import Signature
from ..spec.size_expression import names_in, size_of
from ..spec.streams import StreamSpec

Bounds = Mapping[str, Mapping[str, int]]

# Steps of the long case for streams, in which every other size is 1: do rounding errors grow as states are carried?
DRIFT = 2_000

# A case at a bound beyond this would take too long; the export still reports the bound.
_LONGEST = 10_000
# The most samples that follow from a long case's steps.
_LONGEST_FOLLOWING = 6_000
_SIZES = (1, 2, 3, 17)
# So many chunks of the fewest steps a case has at least where it counts that many.
_FEW = 8
_KINDS: tuple[Values, ...] = ("zero", "saturating", "denormal", "infinite", "nan", *LENGTH_KINDS)

# So far from the seed of the first case is that of the first random one beside an example.
_RANDOM = 3_000
# And that of the first one next to a limit of the model.
_LIMIT = 5_000


def cases_for(
    streams: Sequence[StreamSpec | None], signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds
) -> list[Case]:
    """The cases of `make_cases`, and a long one for each time dimension of the streams."""
    times = {stream.time for stream in streams if stream is not None and stream.time is not None}
    long = [_drift_case(time, signature, seed, least_of(bounds)) for time in sorted(times)]
    found = [*make_cases(signature, traced, seed, bounds), *long]
    for stream in streams:
        if stream is not None and stream.time is not None and stream.multiple > 1:
            found = _in_multiples(found, stream.time, stream.multiple)
    return found


def _in_multiples(cases: Sequence[Case], time: str, unit: int) -> list[Case]:
    """The same cases with so many times the steps, as far as that is not too long: a chunk is a multiple."""
    longer = [replace(case, sizes={**case.sizes, time: _multiple(case.sizes[time], unit)}) for case in cases]
    return [*{(tuple(case.sizes.items()), case.values): case for case in longer}.values()]


def _multiple(steps: int, unit: int) -> int:
    whole = max(-(-steps // unit), min(steps, _FEW))
    return unit * (steps if unit * steps <= DRIFT else whole)


def make_cases(signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds | None = None) -> list[Case]:
    """Every kind of size and value: the traced sizes, all 1, all 2, each alone at 1, 2, 3, 17 and 257.

    Args:
        traced: the sizes that the model was captured at.
        bounds: a `min` that the model needs, from which its sizes are counted, or a `max` that the capture assumed, by
            symbol; there is a case at each, and one beyond.

    Raises:
        InputError: the seed is no whole number of 32 bits.
    """
    check_seed(seed)
    combinations = _combinations(signature, traced, bounds or {})
    kinds = [kind for kind in _KINDS if has_kind(signature, kind)]
    return [Case(sizes, "ordinary", seed + i) for i, sizes in enumerate(combinations)] + [
        Case(dict(traced), kind, seed + len(combinations) + i) for i, kind in enumerate(kinds)
    ]


def random_cases(
    signature: Signature, traced: Mapping[str, int], seed: int, bounds: Bounds | None = None
) -> list[Case]:
    """Random values beside an example, so that cases are never the caller's alone: at the traced sizes, 1, 2, 3, 17."""
    least = least_of(bounds or {})
    sizes = [dict(traced), *(counted(signature.symbols, size, least) for size in _SIZES)]
    distinct = {tuple(each.values()): each for each in sizes}
    return [Case(each, "random", seed + _RANDOM + i) for i, each in enumerate(distinct.values())]


def _drift_case(time: str, signature: Signature, seed: int, least: Mapping[str, int]) -> Case:
    return Case({**counted(signature.symbols, 1, least), time: DRIFT}, "ordinary", seed + DRIFT)


def long_cases(signature: Signature, lengths: Sequence[int], seed: int, bounds: Bounds | None = None) -> list[Case]:
    """One sequence of ordinary values per length, if the signature has a dimension T; else none."""
    if "T" not in signature.symbols:
        return []
    ones = counted(signature.symbols, 1, least_of(bounds or {}))
    return [Case({**ones, "T": length}, "ordinary", (seed + length) % 2**32) for length in lengths]


def limit_cases(
    signature: Signature, limits: Mapping[str, Sequence[int]], seed: int, bounds: Bounds | None = None
) -> list[Case]:
    """A case at each of these sizes, and one at twice the largest, with two of everything else."""
    twos = counted(signature.symbols, 2, least_of(bounds or {}))
    sizes = [(name, size) for name, known in limits.items() for size in (*known, 2 * max(known) + 1)]
    found = [{**twos, name: size} for name, size in sizes if twos[name] < size <= _LONGEST]
    return [Case(each, "ordinary", seed + _LIMIT + i) for i, each in enumerate(found)]


def with_least(bounds: Bounds, least: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """These bounds, with the least sizes that the model runs at for their `min`."""
    most = {name: {"max": bound["max"]} for name, bound in bounds.items() if "max" in bound}
    lower = {name: {"min": size} for name, size in least.items()}
    return {name: {**lower.get(name, {}), **most.get(name, {})} for name in {**lower, **most}}


def least_of(bounds: Bounds) -> dict[str, int]:
    """The least size of each symbol that has one, as far as there can be cases of it."""
    return {name: bound["min"] for name, bound in bounds.items() if 1 < bound.get("min", 1) <= _LONGEST}


def counted(symbols: Sequence[str], size: int, least: Mapping[str, int]) -> dict[str, int]:
    """The same size for every symbol, counted from the least that each may have."""
    return {symbol: least.get(symbol, 1) - 1 + size for symbol in symbols}


def _long(signature: Signature, symbol: str, ones: Mapping[str, int]) -> int:
    """A large size; where others follow from it, no larger than they may be."""
    long = LONG
    derived = [dim for spec in signature.inputs.values() for dim in spec.derived if symbol in names_in(dim)]
    while long > 2 and any(size_of(dim, {**ones, symbol: long}) > _LONGEST_FOLLOWING for dim in derived):
        long //= 2
    return long


def _combinations(signature: Signature, traced: Mapping[str, int], bounds: Bounds) -> list[dict[str, int]]:
    symbols, least = signature.symbols, least_of(bounds)
    ones, twos = (counted(symbols, size, least) for size in (1, 2))
    found = [dict(traced), ones, twos]
    for symbol in symbols:
        found += [{**traced, symbol: least.get(symbol, 1) - 1 + size} for size in _SIZES]
        long = max(_long(signature, symbol, ones), least.get(symbol, 1) + 2)
        found += [{**twos, symbol: long}, {**ones, symbol: long}]
    for symbol, bound in bounds.items():
        edges = [size for size in (bound.get("min", 1) - 1, bound.get("min", 0)) if size >= 1]
        most = bound.get("max", 0)
        edges += [size for size in (most, most + 1, most + 2, 2 * most) if size > 1]
        found += [{**twos, symbol: size} for size in edges if size <= _LONGEST]
    distinct = {tuple(sizes.values()): sizes for sizes in found}
    return list(distinct.values())
