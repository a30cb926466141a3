"""Find what a model that runs at few sizes wants: two that are equal, one that follows from another, or multiples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from time import thread_time

from ..spec.size_expression import size_of
from .least_sizes import Runs

# Sizes of the one, and how far the other is searched for.
_TRIED = (14, 15, 23)
_FARTHEST = 500

# Further sizes of the one, for which what was found has to hold.
_BEYOND = (16, 29, 50)

# The largest number that a size is divided by.
_LARGEST_STEP = 32

# Seconds of this thread that the search may take.
_PATIENCE = 15.0


def equal_sizes(runs: Runs, sizes: Mapping[str, int]) -> tuple[str, str] | None:
    """Two sizes that have to be equal: the model runs where they are, and not where they are not."""
    for one, other in combinations(sizes, 2):
        alike = [{**sizes, one: size, other: size} for size in (sizes[one], sizes[other], _TRIED[-1])]
        apart = [{**sizes, one: size, other: size + step} for size, step in ((12, 1), (12, -1), (15, 4))]
        if all(map(runs, alike)) and not any(map(runs, apart)):
            return one, other
    return None


def following_size(runs: Runs, sizes: Mapping[str, int]) -> tuple[str, str] | None:
    """A size and what it has to be in terms of another, such as `("S", "12*T-48")`, where that is a straight line."""
    end = thread_time() + _PATIENCE
    for other in sizes:
        if len(_fitting(runs, sizes, other, end)) != 1:
            continue
        for root in (name for name in sizes if name != other):
            found = [_fitting(runs, {**sizes, root: size}, other, end) for size in _TRIED]
            if any(len(each) != 1 for each in found):
                continue
            for text in _explaining([each[0] for each in found], root):
                if all(runs({**sizes, root: size, other: size_of(text, {root: size})}) for size in _BEYOND):
                    return other, text
    return None


def step_of(runs: Runs, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """A size that has to be a multiple of a number, with that number; every multiple that is tried runs."""
    for name in sizes:
        running = [size for size in range(1, 2 * _LARGEST_STEP + 1) if runs({**sizes, name: size})]
        step = running[0] if running else 1
        if 1 < step <= _LARGEST_STEP and running == [*range(step, 2 * _LARGEST_STEP + 1, step)]:
            return name, step
    return None


def _fitting(runs: Runs, sizes: Mapping[str, int], name: str, end: float) -> list[int]:
    found: list[int] = []
    for size in range(1, _FARTHEST):
        if len(found) > 1 or thread_time() > end:
            return []
        if runs({**sizes, name: size}):
            found.append(size)
    return found


def _explaining(found: Sequence[int], root: str) -> Iterator[str]:
    """Expressions of a name that have these values: straight lines, and what is divided, rounded down or up."""
    slope = found[1] - found[0]
    parts = [f"{slope}*{root}" if slope > 1 else root] if slope > 0 else []
    for k in range(2, _LARGEST_STEP + 1):
        parts += [f"{root}//{k}", f"({root}+{k - 1})//{k}"]
    for part in parts:
        offsets = {value - size_of(part, {root: size}) for size, value in zip(_TRIED, found, strict=True)}
        if len(offsets) == 1:
            (offset,) = offsets
            yield part + (f"{offset:+d}" if offset else "")
