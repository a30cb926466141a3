"""How long the sequences are at which a form of linear attention is proved: longer than any number that it is made of.

A mask says `i - j < 1000`, or a table has 1000 rows: up to there it may be linear attention, and then another thing.
"""

from __future__ import annotations

from math import prod

from ..streaming.step_counts import step_counts
from .regions import Lengths, Region

_LONG = 2560
_BESIDE = 16
_WIDEST = 8192
# Elements of a value in float64: 128 MiB.
_MOST = 1 << 24


def longest_first(lengths: Lengths, region: Region) -> list[int]:
    """Numbers of steps; none where the region may be something else at more steps than it can be run at.

    Where a number is too large for one of them, the region can be no longer than that number.
    """
    counts = set[int]().union(*(step_counts(node, _WIDEST) for node in region.nodes))
    limit = _affordable(lengths, region)
    beyond = max([count + _BESIDE for count in counts], default=0)
    most = max(beyond, min(_LONG, limit))
    if most > limit:
        return []
    return sorted({most, *(count for count in counts if count + _BESIDE == beyond)}, reverse=True)


def _affordable(lengths: Lengths, region: Region) -> int:
    """The most steps at which no value has too many elements."""
    steps, found = lengths.steps[0], 1 << 20
    for value in (value for node in region.nodes for value in node.outputs):
        axes = lengths.along_time(value)
        elements = prod(axis[0] for axis in lengths.of(value))
        if axes:
            found = min(found, int(steps * (_MOST / max(1, elements)) ** (1 / len(axes))))
    return found
