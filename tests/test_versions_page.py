"""The page on versions holds what was run: its rows are read and written back, and a newer run replaces one."""

from __future__ import annotations

import tomllib
from pathlib import Path

from versions.page import PAGE, Row, read_rows, render

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_its_rows_make() -> None:
    rows = read_rows(PAGE.read_text())
    assert rows
    assert PAGE.read_text() == render(rows.values())


def test_a_newer_run_takes_the_place_of_its_row_in_order() -> None:
    rows = read_rows(
        render([Row("3.12.1", "2.13.0", "1.32.0", "9 passed"), Row("3.9.1", "2.13.0", "1.32.0", "1 failed")])
    )
    rows |= {("3.9.1", "2.13.0"): Row("3.9.1", "2.13.0", "1.32.0", "2 passed")}
    assert [(row.python, row.result) for row in read_rows(render(rows.values())).values()] == [
        ("3.9.1", "2 passed"),
        ("3.12.1", "9 passed"),
    ]


def test_the_versions_that_are_declared_are_the_page_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    minors = [each.rpartition("3.")[2] for each in project["classifiers"] if "Python :: 3." in each]
    assert minors == ["11", "12", "13", "14"]
    assert f"Python 3.{minors[0]} to 3.{minors[-1]}" in PAGE.read_text()
    (torch,) = [each for each in project["dependencies"] if each.startswith("torch>=")]
    assert f"PyTorch {torch.removeprefix('torch>=')} to" in PAGE.read_text()
