"""What every command prints with: tables on a terminal, plain lines elsewhere, JSON for machines, and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from .wording import in_options

if TYPE_CHECKING:
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PLAIN_WIDTH = 160
_STYLES = {"PASS": "green", "FAIL": "bold red", "EXPECTED": "yellow", "REFUSED": "yellow"}


def print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def print_error(message: str, kind: str = "Error") -> None:
    click.echo(f"{click.style(f'{kind}:', fg='red', bold=True)} {message}", err=True)


def print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        open_console().print(f"[yellow]Note:[/yellow] {escape(in_options(note))}", highlight=False)


def open_console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH, no_color=True, highlight=False)


def make_table(*headings: str, right: Sequence[int] | range = ()) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        numeric = i in right and heading not in ("Fed", "Output", "Verdict")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    return table


def styled(verdict: str) -> str:
    return f"[{_STYLES[verdict]}]{verdict}[/]"


def escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def file_size(count: int) -> str:
    from rich.filesize import decimal

    return decimal(count)


def share_bar(share: float, width: int) -> Bar:
    """A bar `width` characters wide; full from 1 on."""
    from rich.bar import Bar

    return Bar(1.0, 0.0, min(share, 1.0), width=width, color="cyan", bgcolor="default")


_STAGES = {
    "check": "Checking the model",
    "capture": "Capturing the model",
    "lower": "Lowering to ONNX",
    "tune": "Timing the forms",
    "compile": "Compiling to TorchScript",
    "reference": "Computing the reference",
    "verify": "Comparing with PyTorch",
    "sizes": "Trying other sizes",
    "shrink": "Finding the smallest case",
    "steps": "Timing single steps",
    "measure": "Measuring errors and time",
    "probe": "Trying runtimes",
}


@contextmanager
def progress(silent: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A line on stderr that says what is going on, while it goes on; nothing where that is not a terminal."""
    if silent or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<25}"),
        BarColumn(30),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("Loading PyTorch", total=None, count="")
        begun: dict[str, float] = {}

        def advance(stage: str, done: int, total: int) -> None:
            taken = time.monotonic() - begun.setdefault(stage, time.monotonic())
            counted = total if total > 1 else None
            count = _left(taken, done, total) if counted else ""
            bar.update(task, description=_STAGES.get(stage, stage), completed=done, total=counted, count=count)

        yield advance


def _left(taken: float, done: int, total: int) -> str:
    """How much of a stage is done, and about how many seconds the rest takes, if it goes on as it did."""
    return f"{done}/{total}" + (f", {taken / done * (total - done):.0f} s left" if done and taken else "")
