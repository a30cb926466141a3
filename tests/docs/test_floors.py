"""The two floors of docs/: user pages are short and begin with what a reader wants; what internals quote still runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_blocks import DOCS, ROOT, blocks, words
from rnn_export.cli.main import main

USER = sorted([*DOCS.glob("*.md"), *(DOCS / "how-to").glob("*.md"), *(DOCS / "reference").glob("*.md")])
ENGLISH = [page for page in USER if ".zh" not in page.name]


def test_the_user_pages_can_be_read_in_an_hour() -> None:
    assert sum(map(words, ENGLISH)) < 11_000
    assert words(DOCS / "verification.md") < 700


@pytest.mark.parametrize("page", ENGLISH, ids=[page.stem for page in ENGLISH])
def test_a_page_opens_with_what_you_want_and_what_to_type(page: Path) -> None:
    title, blank, first, *_ = page.read_text(encoding="utf-8").splitlines()
    assert title.startswith("# ")
    assert not blank
    assert re.match("You ", first)
    if page.stem != "glossary":
        assert re.search(r"^(```|    \S)", page.read_text(encoding="utf-8").partition("\n## ")[0], flags=re.MULTILINE)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT).as_posix() for page in DOCS.rglob("*.md")]
    assert [page for page in pages if navigation.count(f": {page}\n") != 1] == []


def test_the_programs_of_the_page_on_streams_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "internals" / "streaming.md"
    (command,) = re.findall(r"^    rnn-export (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    main([*command.split(), "--no-verify", "--quiet"], standalone_mode=False)
    programs = [block.text for block in blocks(page) if block.language == "python"]
    assert len(programs) == 2
    for program in programs:
        assert "import torch" not in program
        exec(compile(program, "streaming.md", "exec"), {})
