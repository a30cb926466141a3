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
    from rich.text import Text

    from ..parity.report import Report
    from ..verification import Verification
    from .plain import Rows
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PLAIN_WIDTH = 160
_STYLES = {"PASS": "green", "FAIL": "bold red"}


def print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def print_error(message: str, kind: str = "Error") -> None:
    from .plain import plain

    lines = "\n".join(map(plain, message.splitlines()))
    click.echo(f"{click.style(f'{kind}:', fg='red', bold=True)} {lines}", err=True)


def exit_unless_passed(found: Verification | Report) -> None:
    """Print what is wrong and exit with 1; what JSON there is has been printed, so no exception may add another."""
    if not found.passed:
        print_error(in_options(found.failure))
        raise click.exceptions.Exit(1)


def print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print_line(("Note:", "yellow"), f" {in_options(note)}")


def print_notes_aside(notes: Sequence[str]) -> None:
    """On standard error, for who asked for nothing on standard output."""
    for note in notes:
        click.echo(f"{click.style('Note:', fg='yellow')} {in_options(note)}", err=True)


def print_line(*parts: str | tuple[str, str] | Text, whole: bool = False) -> None:
    """Print text as it is, parts of it in a style.

    A long line stays in one piece where it is not printed on a terminal, and where it is to be copied (`whole`).
    """
    from rich.text import Text

    from .plain import plain

    styles = ((part, "") if isinstance(part, str) else part for part in parts)
    line = Text.assemble(*(part if isinstance(part, Text) else (plain(part[0]), part[1]) for part in styles))
    open_console().print(line, highlight=False, soft_wrap=whole or not sys.stdout.isatty())


def open_console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH, no_color=True, highlight=False)


def make_table(*headings: str, right: Sequence[int] | range = ()) -> Rows:
    """A table; cells that are text are shown as they are, whatever is in them."""
    from rich import box
    from rich.text import Text

    from .plain import Rows, plain

    table = Rows(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        numeric = i in right and heading not in ("Fed", "Output", "Verdict")
        table.add_column(Text(plain(heading)), justify="right" if numeric else "left", overflow="fold")
    return table


def styled(verdict: str) -> Text:
    """A verdict in its colour: yellow for all that lies between right and wrong."""
    from rich.text import Text

    return Text(verdict, _STYLES.get(verdict, "yellow"))


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
