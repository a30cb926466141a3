"""Find sizes at which a model runs, and the least of each: a convolution needs as many steps as its kernel has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from math import prod
from time import thread_time

Sizes = dict[str, int]
Runs = Callable[[Mapping[str, int]], bool]

# Sizes that grow: primes, which nothing else in a model has, and numbers that halve many times.
_PRIMES = (13, 31, 101, 307, 907, 2503)
_ROUND = (12, 32, 96, 320, 960, 2560)

# Two sizes at once, of an image say: no two are the same.
_PAIRS = ((31, 37), (101, 89), (32, 48), (96, 160))
_LARGE_PRIMES = (101, 89, 107, 83, 113, 79, 103, 109)

# The most elements of the dynamic dimensions together.
_MOST = 200_000

# Seconds of this thread that a search may take; what is not found by then is not known.
_PATIENCE = 10.0

# Up to here every size below a bound is tried, beyond it some of them.
_DENSE = 40


def growing(sizes: Mapping[str, int], symbols: Sequence[str]) -> Iterator[Sizes]:
    """Sizes larger than these, the smallest first: each of `symbols` alone, two of them, then all symbols at once."""
    alone = [{**sizes, symbol: size} for symbol in symbols for size in (*_PRIMES, *_ROUND)]
    pairs = [{**sizes, **dict(zip(pair, two, strict=True))} for pair in combinations(symbols, 2) for two in _PAIRS]
    together = [dict(zip(sizes, _LARGE_PRIMES, strict=False))] if len(sizes) <= len(_LARGE_PRIMES) else []
    found = [each for each in chain(alone, pairs, together) if all(each[name] >= sizes[name] for name in sizes)]
    distinct = {tuple(each.values()): each for each in found if each != sizes and prod(each.values()) <= _MOST}
    yield from sorted(distinct.values(), key=lambda each: prod(each.values()))


def first_running(runs: Runs, sizes: Mapping[str, int]) -> Sizes | None:
    """The first of the growing sizes at which a model runs; None if none of those that there is time for does."""
    end = thread_time() + _PATIENCE
    for larger in growing(sizes, [*sizes]):
        if thread_time() > end:
            return None
        if runs(larger):
            return larger
    return None


def least_sizes(runs: Runs, sizes: Mapping[str, int]) -> Sizes:
    """The least size of each symbol that has one above 1, the others being what they may.

    Args:
        runs: whether the model runs at these sizes.
        sizes: sizes at which it does.

    Returns:
        Only what holds for every size of the other symbols that was tried. A model that wants multiples of four has no
        least size in this sense, nor has one that wants ten elements in all.
    """
    patient = _patient(runs, thread_time() + _PATIENCE)
    try:
        small = {name: least for name, size in sizes.items() if (least := _least(patient, sizes, name, size)) > 1}
        return {name: least for name, least in small.items() if _is_bound(patient, sizes, small, name)}
    except TimeoutError:
        return {}


def _patient(runs: Runs, end: float) -> Runs:
    def in_time(sizes: Mapping[str, int]) -> bool:
        if thread_time() > end:
            raise TimeoutError
        return runs(sizes)

    return in_time


def _least(runs: Runs, sizes: Mapping[str, int], name: str, running: int) -> int:
    """Bisect for the least size that runs, assuming that every larger one does too."""
    if runs({**sizes, name: 1}):
        return 1
    failing = 1
    while running - failing > 1:
        middle = (failing + running) // 2
        if runs({**sizes, name: middle}):
            running = middle
        else:
            failing = middle
    return running


def _is_bound(runs: Runs, sizes: Mapping[str, int], small: Mapping[str, int], name: str) -> bool:
    """Whether nothing below runs and what is above does, also where the other sizes are at their least, or large."""
    least = small[name]
    beside = [sizes, {**dict.fromkeys(sizes, 1), **small}, {other: 2 * size + 1 for other, size in sizes.items()}]
    above = all(runs({**others, name: size}) for others in beside for size in (least, least + 1, 2 * least + 1))
    below = range(1, least) if least <= _DENSE else (1, 2, least // 2, least // 2 + 1, least - 2)
    return (
        above
        and not any(runs({**others, name: least - 1}) for others in beside)
        and not any(runs({**sizes, name: size}) for size in below)
    )
