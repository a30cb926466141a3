"""Every edit of a bundle that keeps its hashes right is found, or is harmless, and why is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rnn_export import verify

from .edits import EDITS, REPLAYED, Edit, judge_edit, write_bundles


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(autouse=True)
def short(short_streams: None) -> None:
    pass


@pytest.mark.parametrize("name", ["stream", "plain", "int8", "script"])
def test_without_an_edit_nothing_is_found(name: str, bundles: dict[str, Path]) -> None:
    verification = verify(bundles[name], seed=5)
    assert (verification.passed, verification.how) == (True, "rebuilt")


@pytest.mark.parametrize("edit", EDITS, ids=[edit.name for edit in EDITS])
def test_an_edit_is_found_or_harmless(edit: Edit, bundles: dict[str, Path], tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(bundles[edit.bundle], tmp_path / "b"))
    found = judge_edit(edit, bundle)
    assert bool(found) != bool(edit.harmless), found
    if not found:
        verification = verify(bundle, seed=5)
        assert (verification.how == "replayed") == bool(verification.caveat) == (edit.harmless == REPLAYED)


def test_names_are_not_used_twice() -> None:
    assert len({edit.name for edit in EDITS}) == len(EDITS) >= 50
