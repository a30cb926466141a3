"""docs/reference/versions.md: which versions of Python and PyTorch were run, and what goes where TorchScript ends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "versions.md"

BEFORE = """# Versions

You want to know with which versions it works. Declared are Python 3.11 to 3.14 and PyTorch 2.11 to 2.15. Run with the
short set of tests (PyTorch's private names, control flow, loops, packed sequences, streams, TorchScript as input, what
errors say) were these, and no others; where 79 passed it had neither private names nor control flow yet. All tests run
with the versions in `constraints.txt`. In a checkout,

    make versions VERSIONS="3.12:2.13.0 python3:2.15.0"

runs more, each in an environment of its own, and writes the rows.

"""
HEAD = "| Python | PyTorch | ONNX Runtime | short set |\n| --- | --- | --- | --- |\n"
AFTER = """
## Where TorchScript ends

PyTorch deprecates TorchScript, and says in 2.15 that it is "not supported in Python 3.14+". With Python 3.14.8 and
PyTorch 2.15.0 it was still read and written rightly, in the short set and by `rnn-export torchscript single`; do not
count on it. `rnn-export onnx` makes none. What goes instead, from Python 3.14 on:

* of `rnn-export torchscript`: `rnn-export onnx`, for the same model in C++ by ONNX Runtime or OpenVINO;
* of the client for LibTorch: those for [ONNX Runtime](../../clients/onnxruntime/README.md) and
  [OpenVINO](../../clients/openvino/README.md);
* of a TorchScript archive as input: the same, exported to ONNX once, with Python 3.13 or older.
"""
_ROW = re.compile(r"^\| (\d[^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """What came of one Python and one PyTorch."""

    python: str
    torch: str
    onnxruntime: str
    result: str


def read_rows(page: str) -> dict[tuple[str, str], Row]:
    """The rows of the page as it was written."""
    rows = [Row(*found) for found in _ROW.findall(page)]
    return {(row.python, row.torch): row for row in rows}


def render(rows: Iterable[Row]) -> str:
    """The page, in Markdown."""
    lines = [f"| {' | '.join(astuple(row))} |\n" for row in sorted(rows, key=_order)]
    return BEFORE + HEAD + "".join(lines) + AFTER


def _order(row: Row) -> list[list[int]]:
    return [[int(number) for number in re.findall(r"\d+", version)] for version in (row.python, row.torch)]
