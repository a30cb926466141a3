"""docs/internals/design.md against the sources: every file with what it does, and the picture of what imports what."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs" / "internals"
sys.path.insert(0, str(DOCS))

import design_map  # noqa: E402  it lies beside the pages that it writes


def test_the_picture_shows_the_imports() -> None:
    assert design_map.PICTURE.read_text() == design_map.draw(), "run make map"


def test_every_file_is_listed_with_its_first_line() -> None:
    assert design_map.PAGE.read_text() == design_map.page(), "run make map"


def test_every_room_is_in_the_table_and_imports_only_what_is_below_it() -> None:
    rows = design_map.rows()
    rank = {room: k for k, row in enumerate(rows) for room in row}
    assert {design_map.room_of(module) for module in design_map.sources()} == {*rank}
    table = design_map.PAGE.read_text().partition("| room |")[2].partition("\n\n")[0]
    assert [room for room in rank if f"`{room}/`" not in table and f"`{room}.py`" not in table] == ["version"]
    upward = [(room, near) for room, all_ in design_map.imports().items() for near in all_ if rank[near] <= rank[room]]
    assert upward == []


@pytest.mark.parametrize(
    ("edges", "kept"),
    [
        ({"a": {"b", "c"}, "b": {"c"}, "c": set()}, {"a": {"b"}, "b": {"c"}, "c": set()}),
        ({"a": {"c", "d"}, "b": {"d"}, "c": set(), "d": set()}, {"a": {"c", "d"}, "b": {"d"}, "c": set(), "d": set()}),
    ],
)
def test_an_arrow_that_a_longer_way_implies_is_left_out(edges: design_map.Edges, kept: design_map.Edges) -> None:
    assert design_map.reduced(edges) == kept
