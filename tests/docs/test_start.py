"""The tutorial, as a reader goes through it: every file and command of the page, in a shell, in a fresh folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from doc_blocks import DOCS, ROOT, Block, blocks, run_blocks

PAGE = DOCS / "start.md"
IN_PYTHON = ("Train a model", "Export it", "Verify it again", "Run it in Python")

Run = Callable[[str, Path], None]


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the commands have printed so far."""
    return []


@pytest.fixture(scope="module")
def shell(said: list[str]) -> Run:
    """Run a command as a reader does, with the environment of the checkout at hand."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(command: str, folder: Path) -> None:
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "-euc", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said.append(done.stdout)

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shell: Run) -> Path:
    """The reader's folder after the part in Python, beside the checkout."""
    folder = tmp_path_factory.mktemp("start")
    (folder / "rnn-export").symlink_to(ROOT)
    run_blocks(under(*IN_PYTHON), folder, shell)
    return folder


@pytest.fixture(scope="module")
def text_in_python(folder: Path, said: list[str]) -> str:
    return said[-1]


def under(*headings: str) -> list[Block]:
    return [block for block in blocks(PAGE) if block.heading in headings]


def test_every_command_of_the_page_is_under_a_heading_that_is_tried() -> None:
    tried = {*IN_PYTHON, "Run it in C++", "Run it in JavaScript"}
    assert {block.heading for block in blocks(PAGE)} == tried


def test_python_writes_a_text_that_begins_as_it_should(text_in_python: str) -> None:
    assert re.fullmatch(r"the [a-z ]{60}\n", text_in_python)


def test_the_loss_falls(folder: Path, said: list[str]) -> None:
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", said[0])]
    assert len(losses) == 5
    assert losses[-1] < 1.7 < losses[0]


def test_the_first_screen_is_what_the_export_prints(folder: Path, said: list[str]) -> None:
    """Numbers differ from machine to machine."""
    shown = next(block.text for block in under("Export it") if block.language == "text")
    assert _without_numbers(said[1]) == _without_numbers(shown)


def _without_numbers(screen: str) -> list[str]:
    """The screen's words, however its lines are broken."""
    return re.sub(r"(\d+ of )?\d+ further sizes tried( \(.*?\))?|[\d.,]+", "#", screen, flags=re.DOTALL).split()


def text_of(heading: str, folder: Path, shell: Run, said: list[str]) -> str:
    """What the program under a heading writes; its first block gets what it needs, or there is a reason to skip."""
    get, *others = under(heading)
    try:
        run_blocks([get], folder, shell)
    except AssertionError as error:
        pytest.skip(f"what the page says to get cannot be had: {error}")
    run_blocks(others, folder, shell)
    return said[-1]


def test_cpp_writes_the_same_text(folder: Path, text_in_python: str, shell: Run, said: list[str]) -> None:
    if shutil.which("g++") is None or shutil.which("apt-get") is None:
        pytest.skip("there is no g++, or no apt-get to fetch a header with")
    assert text_of("Run it in C++", folder, shell, said) == text_in_python


def test_javascript_writes_the_same_text(folder: Path, text_in_python: str, shell: Run, said: list[str]) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node")
    assert text_of("Run it in JavaScript", folder, shell, said) == text_in_python
