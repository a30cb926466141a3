"""The programs in a bundle's README, and what they print."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from rnn_export.bundle.readme import README

Printed = list[tuple[str, tuple[float, ...]]]


def section(folder: Path, title: str) -> str:
    """What is under a heading."""
    found = re.search(rf"^### {re.escape(title)}\n(.*?)(?=^##|\Z)", (folder / README).read_text(), re.DOTALL | re.M)
    assert found is not None
    return found[1]


def fenced(text: str, language: str) -> str:
    """The block of a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.M)
    return str(found)


def program_in(folder: Path, title: str) -> str:
    """The program under a heading."""
    found = re.match(r"\n```\w+\n(.*?)```", section(folder, title), re.DOTALL)
    assert found is not None
    return found[1]


def saved(folder: Path, title: str) -> Path:
    """The program under a heading, in the file that the page says."""
    found = re.search(r"^Save it as `([\w.]+)` beside `model\.", section(folder, title), re.M)
    assert found is not None
    (folder / found[1]).write_text(program_in(folder, title))
    return folder / found[1]


def told(folder: Path) -> Printed:
    """What the page says that the programs print."""
    return numbers_of(fenced((folder / README).read_text(), "text").splitlines())


def printed_by(*command: str | Path, folder: Path) -> list[str]:
    """The lines that a program prints, when it is run beside the model."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def numbers_of(lines: Iterable[str]) -> Printed:
    """The name that each line begins with, and the numbers after it."""
    return [(name, tuple(map(_number, numbers))) for name, *numbers in map(str.split, lines)]


def expected(folder: Path) -> Printed:
    """What the README's program in Python prints."""
    printed = numbers_of(printed_by(sys.executable, "-c", program_in(folder, "Python, ONNX Runtime"), folder=folder))
    assert any(any(numbers) for _, numbers in printed)
    return printed


# As many digits as a page shows of float16, and of what int8 kernels compute.
HALF, INT8 = 1e-2, 1e-1


def assert_same(one: Printed, other: Printed, *, rel: float = 1e-3) -> None:
    """The names are the same, and so are the numbers as far as they were printed."""
    assert [name for name, _ in one] == [name for name, _ in other]
    for (_, found), (_, wanted) in zip(one, other, strict=True):
        assert found == pytest.approx(wanted, rel=rel, abs=1e-6, nan_ok=True)


def _number(text: str) -> float:
    return float({"True": "1", "False": "0", "true": "1", "false": "0"}.get(text, text))
