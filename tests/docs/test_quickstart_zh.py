"""The quick start in Chinese: what it tells a reader to type works, in order, in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_blocks import DOCS, forgetting_modules, in_this_process, run_page
from rnn_export.cli.main import main
from rnn_export.models import VARIANTS

PAGE = DOCS / "quickstart.zh.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with forgetting_modules(tmp_path):
        run_page(PAGE, tmp_path, in_this_process)
    assert (tmp_path / "artifacts" / "scratch" / "model.onnx").is_file()


def test_models_and_commands_named_are_real() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("| 写法 |")[2].partition("\n\n")[0]
    named = [row.split("|")[2].strip().strip("`") for row in table.splitlines()[2:]]
    assert len(named) == 7
    assert {*named} <= {*VARIANTS}
    assert "onnx" in main.commands
