"""The README's claims: its examples run and are short, links lead somewhere, commands are the command line's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rnn_export.cli.main import main
from rnn_export.version import REPOSITORY

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs/**/*.md", "[a-z]*/README.md", "clients/*/README.md", "examples/*/README.md")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in ROOT.glob(folder))])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize(("number", "longest", "bundle"), [(0, 10, "mine"), (1, 12, "gru")])
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
    assert len(examples) == 2
    assert len(examples[number].splitlines()) < longest
    exec(compile(examples[number], "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("True")
    assert (tmp_path / "artifacts" / bundle / "model.onnx").is_file()


def test_it_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 950


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
    for target in re.findall(rf"\]\({REPOSITORY}/([^)#]+)\)", page.read_text()):
        assert (ROOT / target).exists(), target


def test_the_links_of_the_readme_lead_somewhere_from_a_package_index() -> None:
    assert re.findall(r"\]\((?!https:)[^)]*\)", (ROOT / "README.md").read_text()) == []


def test_every_command_and_option_named_is_real() -> None:
    text = (ROOT / "README.md").read_text()
    assert {*re.findall(r"`rnn-export (\w+)", text)} == set(main.commands)
    options = {option for command in main.commands.values() for entry in command.params for option in entry.opts}
    assert {*re.findall(r"`(--[a-z-]+)", text)} <= options


def test_the_first_screen_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers differ from machine to machine, and how many sizes there is time for."""
    monkeypatch.chdir(tmp_path)
    main(["onnx", "--model", "hetero"], standalone_mode=False)
    (shown,) = blocks(ROOT / "README.md", "text")
    assert without_numbers(capsys.readouterr().out) == without_numbers(shown)


def without_numbers(screen: str) -> list[str]:
    """The screen's words, however its lines are broken."""
    return re.sub(r"(\d+ of )?\d+ further sizes tried( \(.*?\))?|[\d.,]+", "#", screen, flags=re.DOTALL).split()
