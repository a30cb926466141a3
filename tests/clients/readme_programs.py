"""The programs in a bundle's README, and what they print."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from rnn_export.bundle.readme import README

Printed = list[tuple[str, float]]


def program_in(folder: Path, title: str) -> str:
    """The program under a heading."""
    found = re.search(rf"^### {re.escape(title)}\n\n```\w+\n(.*?)```", (folder / README).read_text(), re.DOTALL | re.M)
    assert found is not None
    return found[1]


def printed_by(*command: str | Path, folder: Path) -> list[str]:
    """The lines that a program prints, when it is run beside the model."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def numbers_of(lines: Iterable[str]) -> Printed:
    """The name that each line begins with, and the number that it ends with."""
    return [(line.split()[0], _number(line.split()[-1])) for line in lines]


def expected(folder: Path) -> Printed:
    """What the README's program in Python prints."""
    printed = numbers_of(printed_by(sys.executable, "-c", program_in(folder, "Python, ONNX Runtime"), folder=folder))
    assert any(number for _, number in printed)
    return printed


def assert_same(one: Printed, other: Printed) -> None:
    """The names are the same, and so are the numbers as far as they were printed."""
    assert [name for name, _ in one] == [name for name, _ in other]
    assert [number for _, number in one] == pytest.approx([number for _, number in other], rel=1e-3, abs=1e-6)


def _number(text: str) -> float:
    """Of JavaScript's `3n` too, and of True."""
    return float({"True": "1", "False": "0", "true": "1", "false": "0"}.get(text, text.removesuffix("n")))
