"""The API reference: every public name is in it, and found in the sources without importing them."""

from __future__ import annotations

import re
from pathlib import Path

import griffe
import rnn_export

ROOT = Path(__file__).parents[1]


def test_the_reference_has_every_public_name() -> None:
    names = re.findall(r"^::: rnn_export\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), flags=re.MULTILINE)
    assert sorted(names) == sorted(rnn_export.__all__)


def test_every_public_name_has_a_docstring_in_the_sources(tmp_path: Path) -> None:
    (tmp_path / "rnn_export").symlink_to(ROOT / "exporter")
    package = griffe.load("rnn_export", search_paths=[tmp_path])
    found = {name: package[name] for name in rnn_export.__all__}
    assert [name for name, item in found.items() if item.is_module] == []
    assert [name for name, item in found.items() if not item.has_docstring] == ["__version__"]
