"""Combinations of options: `make test` takes every pair of values in some test, `make test-all` every combination.

Source: Kuhn, Wallace and Gallo, "Software fault interactions and implications for software testing", IEEE Transactions
on Software Engineering 30(6), 2004: few faults need more than two values to show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import pytest
from allpairspy import AllPairs

BOTH = (False, True)


def combinations(**options: Sequence[object]) -> pytest.MarkDecorator:
    """Parametrize a test with all combinations; those that no pair of values needs are marked `rest`."""
    return _parametrize(options, AllPairs([list(choices) for choices in options.values()]))


def each_value(**options: Sequence[object]) -> pytest.MarkDecorator:
    """The same, where a test takes every single value: for options that another test pairs, or that do not meet."""
    longest = max(len(choices) for choices in options.values())
    return _parametrize(options, ([choices[k % len(choices)] for choices in options.values()] for k in range(longest)))


def _parametrize(options: dict[str, Sequence[object]], taken: Iterable[Iterable[object]]) -> pytest.MarkDecorator:
    rows = list(product(*options.values()))
    first = [tuple(row) for row in taken]
    marks = [() if row in first else (pytest.mark.rest,) for row in rows]
    return pytest.mark.parametrize(
        tuple(options),
        [pytest.param(*row, id=_name(options, row), marks=mark) for row, mark in zip(rows, marks, strict=True)],
    )


def _name(options: Iterable[str], row: Iterable[object]) -> str:
    """`lstm-3-bidirectional`: a flag by its name where it is set, a class or function by its own, others by value."""
    parts = [
        option if value is True else getattr(value, "__name__", str(value))
        for option, value in zip(options, row, strict=True)
        if value is not False
    ]
    return "-".join(parts).replace(" ", "-")
