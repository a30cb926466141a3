"""The how-to pages: short, and everything that they tell a reader to type works, in order, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_blocks import DOCS, forgetting_modules, in_this_process, run_page, words

PAGES = sorted((DOCS / "how-to").glob("*.md"))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with forgetting_modules(tmp_path):
        run_page(page, tmp_path, in_this_process)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_is_short_and_begins_with_what_to_type(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert words(page) < 550
    before = text.partition("## What you get")[0]
    assert before.splitlines()[2].startswith("You ")
    assert "```" in before or "\n    " in before
    assert "## What can go wrong" in text
