"""The reference: every public name with an example that runs, every option, entry of a manifest and verdict."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import griffe
import pytest
import rnn_export
from doc_blocks import DOCS, ROOT, in_this_process, run_page
from rnn_export.parity.report import Overall, Verdict

REFERENCE = DOCS / "reference"
API = REFERENCE / "api.md"
sys.path.insert(0, str(REFERENCE))

import command_tables  # noqa: E402  it lies beside the page that it writes


def entries() -> Iterator[tuple[str, str]]:
    """Each public name on the page, and what follows up to the next."""
    _, *rest = re.split(r"^::: rnn_export\.", API.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for entry in rest:
        name, _, text = entry.partition("\n")
        yield name, text


def test_the_api_has_every_public_name() -> None:
    assert sorted(name for name, _ in entries()) == sorted(rnn_export.__all__)


def test_every_public_name_has_an_example() -> None:
    assert [name for name, text in entries() if not re.search(rf"```python\n.*?\b{name}\b", text, re.DOTALL)] == []


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_streams: None) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(API, tmp_path, in_this_process)


def test_every_public_name_has_a_docstring_in_the_sources(tmp_path: Path) -> None:
    (tmp_path / "rnn_export").symlink_to(ROOT / "exporter")
    package = griffe.load("rnn_export", search_paths=[tmp_path])
    found = {name: package[name] for name in rnn_export.__all__}
    assert [name for name, item in found.items() if item.is_module] == []
    assert [name for name, item in found.items() if not item.has_docstring] == ["__version__"]


def test_the_commands_are_the_command_line() -> None:
    assert command_tables.PAGE.read_text(encoding="utf-8") == command_tables.page(), "run make commands"


@pytest.mark.parametrize("page", ["manifest", "verdicts"])
def test_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(REFERENCE / f"{page}.md", tmp_path, in_this_process)


def test_the_manifest_has_every_entry() -> None:
    schema = json.loads((ROOT / "exporter" / "bundle" / "manifest.schema.json").read_text(encoding="utf-8"))
    _, whole, artifact = re.split(r"^\| entry.*$", (REFERENCE / "manifest.md").read_text("utf-8"), flags=re.MULTILINE)
    assert _first_cells(whole) == sorted(schema["properties"])
    assert _first_cells(artifact.partition("\n## ")[0]) == sorted(schema["$defs"]["Artifact"]["properties"])


def _first_cells(table: str) -> list[str]:
    return sorted(re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE))


def test_the_verdicts_are_those_of_a_report() -> None:
    of_a_case, of_a_file = re.split(
        r"^## Of a file$", (REFERENCE / "verdicts.md").read_text("utf-8"), flags=re.MULTILINE
    )
    assert {*re.findall(r"^\| ([A-Z]+) ", of_a_case, flags=re.MULTILINE)} == {*get_args(Verdict)}
    assert {*re.findall(r"^\| ([A-Z]+) ", of_a_file, flags=re.MULTILINE)} == {*get_args(Overall)}
    errors = [getattr(rnn_export, name) for name in rnn_export.__all__ if name.endswith("Error")]
    codes = {*re.findall(r"^\| (\d+) \|", of_a_file, flags=re.MULTILINE)}
    assert codes == {"0", "130", *(str(error.exit_code) for error in errors)}
