"""What many tests need: one torch thread, small models, and the command line as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from rnn_export.cli.main import main

torch.set_num_threads(1)

SMALL = {
    "scratch": {"num_hiddens": 8},
    "single": {"input_size": 3, "hidden_size": 4},
    "deep": {"input_size": 3, "hidden_size": 4, "num_layers": 3},
    "classifier": {"input_size": 3, "hidden_size": 4, "num_layers": 2},
    "tagger": {"input_size": 3, "hidden_size": 4, "num_layers": 2},
    "initial_state": {"input_size": 3, "hidden_size": 4, "num_layers": 2},
    "hetero": {"input_size": 3, "hidden_sizes": (4, 6, 5)},
    "layernorm_lstm": {"input_size": 3, "hidden_size": 4},
    "mgu": {"input_size": 3, "hidden_size": 4},
}
# Written by hand for one cell and one direction.
LOOPS = ("scratch", "layernorm_lstm", "mgu")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the command line in an empty folder; an unexpected exception is the test's failure."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def run(*arguments: str) -> Result:
        monkeypatch.setattr("sys.argv", ["rnn-export", *arguments])
        return runner.invoke(main, list(arguments))

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a user's Python file."""

    def write(source: str) -> Path:
        path = tmp_path / "user_model.py"
        path.write_text("import torch\nfrom torch import nn\n\n" + source)
        return path

    return write


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What ran on which execution provider, where tests recorded it."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    rows = [value for report in reports for name, value in report.user_properties if name == "placement"]
    if rows:
        terminalreporter.section("placement")
        terminalreporter.write_line("\n".join(map(str, rows)))
