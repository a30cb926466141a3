"""Messages that the pages quote are in the sources, word for word: a reader looks for what the program says."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from doc_blocks import DOCS, ROOT

PAGES = [DOCS / "troubleshooting.md", *sorted((DOCS / "how-to").glob("*.md"))]

_QUOTED = re.compile(r"(?<![*\w])\*(?![*\s])([^*]+?)\*(?![*\w])", flags=re.DOTALL)


def quoted(page: Path) -> list[str]:
    """What stands between single asterisks outside of code, with `...` for names and numbers."""
    text = re.sub(r"^```.*?^```$|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(each.split()) for each in _QUOTED.findall(text)]


@cache
def said() -> list[str]:
    """Every string of the package, with `...` for what is put into it."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "exporter").rglob("*.py"))]
    return [text for tree in trees for node in ast.walk(tree) if (text := _text(node))]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return " ".join(node.value.split())
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
        return re.sub(r"(\.\.\.)+", "...", " ".join("".join(map(str, parts)).split()))
    return ""


def is_said(quote: str) -> bool:
    """Whether it is in a string of the package; `...` at its ends says only that the message goes on."""
    return any(quote.strip(". ") in text for text in said())


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_quoted_message_is_in_the_sources(page: Path) -> None:
    assert [quote for quote in quoted(page) if not is_said(quote)] == []


def test_messages_are_quoted() -> None:
    assert len(quoted(DOCS / "troubleshooting.md")) > 40


@pytest.mark.parametrize(
    ("quote", "there"),
    [
        ("There is no built-in model '...'", True),
        ("There is no built-in network '...'", False),
        ("is being written by another process", True),
        ("is being read by another process", False),
    ],
)
def test_a_message_that_nobody_says_is_found_out(quote: str, there: bool) -> None:
    assert is_said(quote) is there
