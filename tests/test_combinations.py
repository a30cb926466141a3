"""Of the tests' own means: every pair of values is in `make test`, every combination in some part of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations as choose
from itertools import product
from typing import Any

import pytest
from combinations import combinations, each_value
from conftest import part_of

OPTIONS: Mapping[str, Sequence[object]] = {"cell": "abcd", "layers": (1, 3), "bias": (False, True), "size": (1, 2, 3)}


def taken(mark: pytest.MarkDecorator) -> tuple[list[Any], list[Any]]:
    """All rows, and those that `make test` takes."""
    rows = mark.args[1]
    return [row.values for row in rows], [row.values for row in rows if not row.marks]


def test_every_pair_of_values_is_taken() -> None:
    rows, first = taken(combinations(**OPTIONS))
    assert rows == list(product(*OPTIONS.values()))
    for one, other in choose(range(len(OPTIONS)), 2):
        assert {(row[one], row[other]) for row in first} == {(row[one], row[other]) for row in rows}
    assert len(first) < len(rows) / 2


def test_every_value_is_taken() -> None:
    rows, first = taken(each_value(**OPTIONS))
    assert rows == list(product(*OPTIONS.values()))
    for column, values in enumerate(OPTIONS.values()):
        assert {row[column] for row in first} == set(values)
    assert len(first) == 4


def test_the_parts_of_the_rest_are_all_of_it() -> None:
    rest = list(range(25))
    parts = [part_of(rest, f"{k}/10") for k in range(10)]
    assert sorted(number for part in parts for number in part) == rest
    assert part_of(rest, "all") == rest
    assert part_of(rest, "none") == []


@pytest.mark.parametrize("asked", ["10/10", "1", "a/b", "-1/3", ""])
def test_what_is_no_part(asked: str) -> None:
    with pytest.raises(pytest.UsageError, match="give none, all, or a part such as 3/20, counted from 0."):
        part_of([], asked)
