"""What every command prints with: tables on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

_PLAIN_WIDTH = 160
_STYLES = {"PASS": "green", "FAIL": "bold red", "EXPECTED": "yellow", "REFUSED": "yellow"}


def print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def print_error(message: str, kind: str = "Error") -> None:
    click.echo(f"{click.style(f'{kind}:', fg='red', bold=True)} {message}", err=True)


def print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        open_console().print(f"[yellow]Note:[/yellow] {escape(note)}", highlight=False)


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
