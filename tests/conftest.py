"""What many tests need: one torch thread, small models, the command line as a function, and which tests a run takes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
import rnn_export
import torch
import torch._export.utils
from click.testing import CliRunner, Result
from hypothesis import settings
from rnn_export.capture import capture
from rnn_export.cli.main import main
from rnn_export.parity import probe

torch.set_num_threads(1)

# PyTorch lists its operators anew in every export, which takes a quarter of that of a small model; no test adds one.
torch._export.utils._collect_all_valid_cia_ops_for_namespace = cache(
    torch._export.utils._collect_all_valid_cia_ops_for_namespace
)

# How many examples a property is tried on; --hypothesis-profile chooses.
settings.register_profile("few", max_examples=12, deadline=None)
settings.register_profile("many", max_examples=200, deadline=None)
settings.load_profile("few")

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
T = TypeVar("T")

# Written by hand for one cell and one direction.
LOOPS = ("scratch", "layernorm_lstm", "mgu")


@pytest.fixture(autouse=True, scope="session")
def few_sizes() -> None:
    """A probe tries what takes a fifth of a second; tests of what it finds give it its time."""
    probe.BUDGET = 0.2


@pytest.fixture
def one_path_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captures take the example's path at each decision, as they would where its source is not at hand."""
    monkeypatch.setattr(capture, "_with_control_flow", lambda *_, **__: rnn_export.CaptureError("not tried"))


@pytest.fixture
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest case of a stream has 300 steps in place of 2,000: for tests of something else than growing errors."""
    monkeypatch.setattr("rnn_export.parity.cases.DRIFT", 300)


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


def pytest_collection_finish() -> None:
    """Spare the garbage collector what importing PyTorch made, which lives until the end: a sixth of all time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rest", default="none", help="of the tests marked `rest`: none, all, or a part such as 3/20")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rest: a combination that `make test` leaves to `make test-all`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rest = [item for item in items if item.get_closest_marker("rest")]
    left = {id(item) for item in rest} - {id(item) for item in part_of(rest, config.getoption("--rest"))}
    config.hook.pytest_deselected(items=[item for item in items if id(item) in left])
    # Files that export whole models first, so that no process is left with one of them at the end.
    items[:] = sorted((item for item in items if id(item) not in left), key=lambda item: len(item.path.parts))


def part_of(rest: Sequence[T], asked: str) -> Sequence[T]:
    """What `--rest` asks for of the tests marked so; the parts 0/20 to 19/20 are all of them."""
    if asked in ("none", "all"):
        return rest if asked == "all" else []
    part, _, of = asked.partition("/")
    if not (part.isdecimal() and of.isdecimal() and int(part) < int(of)):
        raise pytest.UsageError(f"--rest {asked}: give none, all, or a part such as 3/20, counted from 0.")
    return rest[int(part) :: int(of)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What ran on which execution provider, where tests recorded it."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    rows = [value for report in reports for name, value in report.user_properties if name == "placement"]
    if rows:
        terminalreporter.section("placement")
        terminalreporter.write_line("\n".join(map(str, rows)))
