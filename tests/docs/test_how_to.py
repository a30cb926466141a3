"""The how-to pages: short, and everything that they tell a reader to type works, in order, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_blocks import DOCS, blocks, forgetting_modules, in_this_process, run_page

PAGES = sorted((DOCS / "how-to").glob("*.md"))

# First lines of blocks that show what is not there yet, by page.
WAITING: dict[str, set[str]] = {}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with forgetting_modules(tmp_path):
        run_page(page, tmp_path, in_this_process, WAITING.get(page.name, ()))


def test_what_waits_is_on_its_page() -> None:
    for page, waiting in WAITING.items():
        assert waiting <= {block.first_line for block in blocks(DOCS / "how-to" / page)}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_is_short_and_begins_with_what_to_type(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.split()) < 500
    before = text.partition("## What you get")[0]
    assert before.splitlines()[2].startswith("You ")
    assert "```" in before or "\n    " in before
    assert "## What can go wrong" in text
