"""The code blocks of a page, run in order in one folder: files are written, commands and Python run.

A block with a title is a file. `sh` is what a reader types; `python` without a title runs with the page's other blocks.
Indented blocks, and those of other languages, are shown and not run.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnn_export.cli.main import main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# Runs a command in a folder.
Run = Callable[[str, Path], None]

_FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: the heading above it, its language, the name of the file that it is, if any, and its line."""

    page: Path
    line: int
    heading: str
    language: str
    title: str
    text: str

    @property
    def place(self) -> str:
        """Such as `how-to/ci.md:12`, for tracebacks."""
        return f"{self.page.relative_to(ROOT).as_posix().removeprefix('docs/')}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        above = text[: match.start()]
        heading = above.rpartition("\n## ")[2].partition("\n")[0] if "\n## " in above else ""
        found.append(Block(page, above.count("\n") + 1, heading, match[1], match[2] or "", match[3]))
    return found


def words(page: Path) -> int:
    """How many words a page has, without code blocks and the rules of tables."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return sum(bool(re.search(r"\w", word)) for word in prose.split())


def commands(block: Block) -> Iterator[str]:
    """The commands of a block, a continued line as one."""
    yield from (line for line in block.text.replace("\\\n", " ").splitlines() if line.strip())


def run_block(block: Block, folder: Path, names: dict[str, Any], run: Run) -> None:
    """Do with a block what a reader does; `run` takes a command."""
    if block.title:
        (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.title).write_text(block.text, encoding="utf-8")
    elif block.language == "sh":
        for command in commands(block):
            run(command, folder)
    elif block.language == "python":
        exec(compile(block.text, block.place, "exec"), names)


def run_page(page: Path, folder: Path, run: Run) -> None:
    """Run all of a page's blocks one after the other."""
    run_blocks(blocks(page), folder, run)


def run_blocks(found: Iterable[Block], folder: Path, run: Run) -> None:
    """Run blocks one after the other, their Python with the same names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in found:
        run_block(block, folder, names, run)


@contextmanager
def forgetting_modules(folder: Path) -> Iterator[None]:
    """Afterwards no module of this folder is known: another page may have a file of the same name."""
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def in_this_process(command: str, folder: Path) -> None:
    """Run `rnn-export ...` without starting Python anew; the page's folder is the working folder already."""
    program, *arguments = shlex.split(command)
    assert program == "rnn-export", command
    main(arguments, standalone_mode=False)
