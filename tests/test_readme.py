"""The README's claims: its example runs and is short, its links lead somewhere, its commands are the command line's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rnn_export.cli.main import main

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs/*.md", "[a-z]*/README.md", "clients/*/README.md", "examples/*/README.md")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in ROOT.glob(folder))])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("number", "longest", "bundle"), [(0, 10, "mine"), (1, 12, "gru"), (2, 16, "encoder"), (3, 21, "mgu")]
)
def test_the_examples_are_short_and_run(
    number: int,
    longest: int,
    bundle: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = blocks(ROOT / "README.md", "python")
    assert len(examples) == 4
    assert len(examples[number].splitlines()) < longest
    exec(compile(examples[number], "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("True")
    assert (tmp_path / "artifacts" / bundle / "model.onnx").is_file()


def test_the_page_on_streams_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "streaming.md"
    (command,) = re.findall(r"^    rnn-export (.*)$", page.read_text(), flags=re.MULTILINE)
    main([*command.split(), "--no-verify", "--quiet"], standalone_mode=False)
    examples = blocks(page, "python")
    assert len(examples) == 2
    for example in examples:
        assert "import torch" not in example
        exec(compile(example, "streaming.md", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_command_and_option_named_is_real() -> None:
    text = (ROOT / "README.md").read_text()
    assert {*re.findall(r"`rnn-export (\w+)", text)} == set(main.commands)
    options = {option for command in main.commands.values() for entry in command.params for option in entry.opts}
    assert {*re.findall(r"`(--[a-z-]+)", text)} <= options


def test_the_first_screen_is_what_the_command_prints() -> None:
    """Numbers differ from machine to machine; the rows and the verdict do not."""
    screen = (ROOT / "README.md").read_text().partition("```text\n")[2].partition("```")[0]
    assert len(re.findall(r" PASS$", screen, flags=re.MULTILINE)) == 20
    assert "20 PASS of 20 cases" in screen
    assert "artifacts/hetero/model.onnx" in screen
