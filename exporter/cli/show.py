"""Printing: tables and progress on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..assembly import Exported
    from ..inspection import Inspection
    from ..latency import Latency
    from ..parity import Report
    from ..parity.report import CaseResult

_PLAIN_WIDTH = 160
_STYLES = {"PASS": "green", "FAIL": "bold red", "KNOWN": "yellow", "REFUSED": "yellow"}
_STAGES = {
    "check": "Checking the model",
    "capture": "Capturing the model",
    "lower": "Lowering to ONNX",
    "tune": "Timing the forms",
    "compile": "Compiling to TorchScript",
    "reference": "Computing the reference",
    "verify": "Comparing with PyTorch",
    "measure": "Timing single steps",
}


def print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


@contextmanager
def progress(silent: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A line on stderr that says what is going on, while it goes on; nothing where that is not a terminal."""
    if silent or not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description:<25}"), BarColumn(30), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("Loading PyTorch", total=None)

        def advance(stage: str, done: int, total: int) -> None:
            counted = total if total > 1 else None
            bar.update(task, description=_STAGES.get(stage, stage), completed=done, total=counted)

        yield advance


def finish_export(exported: Exported, as_json: bool, quiet: bool) -> None:
    """Print what an export wrote."""
    if as_json:
        print_json(
            {
                "folder": str(exported.folder),
                "files": dict(exported.files),
                "notes": list(exported.notes),
                "report": exported.report.to_json() if exported.report else None,
            }
        )
    elif not quiet:
        if exported.report:
            print_report(exported.report)
        print_notes(exported.notes if exported.report else [*exported.notes, "Not verified."])
        _print_files(exported)


def print_report(report: Report) -> None:
    """A row per case, then the verdict."""
    console = _console()
    fed = ["Fed"] if any(result.fed for result in report.cases) else []
    table = _table("Values", *report.traced, *fed, "Output", "Error", "Limit", "Share", "Verdict", right=range(1, 99))
    for result in report.cases:
        table.add_row(*_case_row(result, [result.fed or "whole"] if fed else []))
    console.print(f"\n[bold]{report.artifact}[/bold] in {report.runtime}, seed {report.seed}", highlight=False)
    console.print(table)
    console.print(_verdict(report), highlight=False)
    if report.weights is not None:
        console.print(_escape(str(report.weights)), highlight=False)
    for note in dict.fromkeys(result.note for result in report.cases if result.note):
        cases = sum(result.note == note for result in report.cases)
        print_notes([f"{note}{f' ({cases} cases)' if cases > 1 else ''}."])


def print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        _console().print(f"[yellow]Note:[/yellow] {_escape(note)}", highlight=False)


def print_models(rows: Sequence[Mapping[str, Any]]) -> None:
    table = _table("Model", "What it is", "Inputs", "Outputs", "Parameters", right=[4])
    for row in rows:
        inputs = "\n".join(f"{name}: {_escape(spec)}" for name, spec in row["inputs"].items())
        table.add_row(row["name"], row["summary"], inputs, ", ".join(row["outputs"]), f"{row['parameters']:,}")
    _console().print(table)


def print_inspection(inspection: Inspection) -> None:
    console = _console()
    console.print(f"\n[bold]{inspection.path}[/bold]  {inspection.format}, {inspection.made_by}", highlight=False)
    table = _table("", "")
    table.show_header = False
    for title, entries in (("input", inspection.inputs), ("output", inspection.outputs)):
        for name, spec in entries.items():
            table.add_row(title, f"{name}: {_escape(spec)}")
    for before, state in inspection.states.items():
        table.add_row("state", _state_row(before, state))
    operators = ", ".join(f"{name} {count}" for name, count in inspection.operators.items())
    table.add_row("operators", operators)
    table.add_row("parameters", f"{inspection.parameters:,}{_held_in(inspection.weights)}")
    table.add_row("size", _size(inspection.bytes))
    console.print(table)


def print_latency(found: Latency) -> None:
    """Percentiles of a step, and what bounds it."""
    console = _console()
    sizes = "".join(f", {name}={size}" for name, size in found.sizes.items())
    table = _table("", "", right=[1])
    table.show_header = False
    for name, seconds in (("p50", found.p50), ("p99", found.p99), ("p99.9", found.p999), ("limit", found.limit)):
        table.add_row(name, f"{seconds * 1e6:,.1f} us")
    table.add_row("steps per second", f"{found.steps_per_second:,.0f}")
    table.add_row("weights per step", _size(found.weight_bytes))
    table.add_row("weights per second", f"{found.weight_rate / 1e9:.1f} GB/s")
    table.add_row("this machine reads", f"{found.read_rate / 1e9:.1f} GB/s")
    console.print(f"\n[bold]{found.steps:,} single steps{sizes}[/bold]", highlight=False)
    console.print(table)


def _held_in(weights: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{dtype} {count:,}' for dtype, count in weights.items())})" if len(weights) > 1 else ""


def _state_row(before: str, state: Mapping[str, Any]) -> str:
    values = state["reset"]
    reset = f"{len(values)} values of its own" if isinstance(values, list) else values
    return f"{state['output']} becomes {before}, which begins as {reset}"


def _print_files(exported: Exported) -> None:
    table = _table("File", "Size", right=[1])
    for name, size in exported.files.items():
        table.add_row(str(exported.folder / name), _size(size))
    _console().print()
    _console().print(table)


def _case_row(result: CaseResult, fed: Sequence[str]) -> list[str]:
    sizes = [*map(str, result.case.sizes.values()), *fed]
    worst = result.worst
    verdict = f"[{_STYLES[result.verdict]}]{result.verdict}[/]"
    if worst is None:
        return [result.case.values, *sizes, "", "", "", "", verdict]
    share = f"{worst.error / worst.limit:.0%}" if worst.limit else ("0%" if worst.error == 0 else "")
    return [result.case.values, *sizes, worst.output, f"{worst.error:.1e}", f"{worst.limit:.1e}", share, verdict]


def _verdict(report: Report) -> str:
    counts = [
        f"{report.count(verdict)} {verdict}"
        for verdict in ("PASS", "KNOWN", "REFUSED", "FAIL")
        if report.count(verdict)
    ]
    own = "PyTorch's own error against float64" if report.reference == "float64" else "stated tolerances"
    measure = f"{report.bound:g} of each output's scale" if report.bound else own
    word, style = ("PASS", "bold green") if report.passed else ("FAIL", "bold red")
    share = f"; the largest error is {report.ratio:.0%} of its limit" if report.ratio < 1e6 else ""
    return f"[{style}]{word}[/]  {', '.join(counts)} of {len(report.cases)} cases{share}. Limits: {measure}."


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH, no_color=True, highlight=False)


def _table(*headings: str, right: Sequence[int] | range = ()) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for i, heading in enumerate(headings):
        numeric = i in right and heading not in ("Fed", "Output", "Verdict")
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    return table


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _size(count: int) -> str:
    from rich.filesize import decimal

    return decimal(count)
