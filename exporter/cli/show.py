"""Printing: tables and progress on a terminal, plain lines elsewhere, JSON for machines."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

    from ..bundle.assemble import Exported
    from ..parity.failing_case import FailingCase
    from ..parity.report import CaseResult, Report
    from ..publish.inspect import Inspection
    from ..publish.ship import WrittenFiles
    from ..runtimes.doctor import Diagnosis
    from ..runtimes.placement import Placement, Ran
    from ..stream.latency import Latency
    from ..verification import Fault


_PLAIN_WIDTH = 160

# An input of so many numbers is printed whole.
_SHOWN = 24
_STYLES = {"PASS": "green", "FAIL": "bold red", "KNOWN": "yellow", "REFUSED": "yellow"}
_SHARE_BAR, _TIME_BAR = 6, 20

_REMARKS = {
    "drives": "runs the nodes of its body",
    "sizes": "computes sizes",
    "copies": "copies",
    "computes": "",
}

_STAGES = {
    "check": "Checking the model",
    "capture": "Capturing the model",
    "lower": "Lowering to ONNX",
    "tune": "Timing the forms",
    "compile": "Compiling to TorchScript",
    "reference": "Computing the reference",
    "verify": "Comparing with PyTorch",
    "shrink": "Finding the smallest case",
    "steps": "Timing single steps",
    "measure": "Measuring errors and time",
    "probe": "Trying runtimes",
}


def print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def print_error(message: str, kind: str = "Error") -> None:
    click.echo(f"{click.style(f'{kind}:', fg='red', bold=True)} {message}", err=True)


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
        _print_files(exported.folder, exported.files)


def print_written(written: Sequence[WrittenFiles], as_json: bool, quiet: bool) -> None:
    """Print what was made of a bundle."""
    if as_json:
        print_json([{"folder": str(each.folder), "files": each.files, "notes": list(each.notes)} for each in written])
    elif not quiet:
        for each in written:
            print_notes(each.notes)
            _print_files(each.folder, each.files)


def print_report(report: Report) -> None:
    """A row per case, then the verdict."""
    console = _console()
    fed = ["Fed"] if any(result.fed for result in report.cases) else []
    bars = [""] if sys.stdout.isatty() else []
    numbers = ("Output", "Error", "Limit", "Share", *bars)
    table = _table("Values", *report.traced, *fed, *numbers, "Verdict", right=range(1, 99))
    for result in report.cases:
        share = [_bar(result.worst.share if result.worst else 0.0, _SHARE_BAR)] if bars else []
        table.add_row(*_case_row(result, [result.fed or "whole"] if fed else []), *share, _styled(result.verdict))
    console.print(f"\n[bold]{report.artifact}[/bold] in {report.runtime}, seed {report.seed}", highlight=False)
    console.print(table)
    console.print(_verdict(report), highlight=False)
    if report.weights is not None:
        console.print(_escape(str(report.weights)), highlight=False)
    for note in dict.fromkeys(result.note for result in report.cases if result.note):
        cases = sum(result.note == note for result in report.cases)
        print_notes([f"{note}{f' ({cases} cases)' if cases > 1 else ''}."])


def print_placement(report: Report) -> None:
    """Which operators ran on which execution provider, what took the longest first."""
    from rich.text import Text

    console, placement = _console(), report.placement
    console.print(f"\n[bold]{report.artifact}[/bold] on {_place(report)} {placement.version}", highlight=False)
    table = _table("Operator", "Ran on", "Runs", "Time", "", "", right=[2, 3])
    for ran in placement.nodes:
        style, remark = _remark(ran, placement, report.allow_fallback)
        share = _bar(ran.share, _TIME_BAR)
        provider = Text(ran.provider.removesuffix("ExecutionProvider"), style)
        table.add_row(ran.operator, provider, f"{ran.runs:,}", _percent(ran.share), share, Text(remark, style))
    if placement.nodes:
        console.print(table)
    console.print(_where_it_ran(placement, report.allow_fallback), highlight=False)


def _place(report: Report) -> str:
    """The execution provider, or where nothing is known of one the runtime."""
    return report.placement.provider if report.placement.nodes else report.runtime


def _remark(ran: Ran, placement: Placement, allowed: bool) -> tuple[str, str]:
    """The style of an operator's row, and what is said of one that ran elsewhere."""
    if ran in placement.fallback:
        return ("yellow", "fallback, allowed") if allowed else ("bold red", "FALLBACK")
    return "dim" if ran.provider != placement.provider else "", _REMARKS[ran.role]


def _where_it_ran(placement: Placement, allowed: bool) -> str:
    if not placement.nodes:
        return "It tells nothing of execution providers."
    if not placement.fallback:
        return f"[bold green]PASS[/]  All that computes ran on {placement.provider}."
    word = "[bold yellow]ALLOWED[/]" if allowed else "[bold red]FAIL[/]"
    elsewhere = _percent(sum(ran.share for ran in placement.fallback))
    return f"{word}  {elsewhere} of the time went to nodes that did not run on {placement.provider}."


def print_diagnoses(diagnoses: Sequence[Diagnosis]) -> None:
    """A table of the runtimes that are there, and one of the others, with why not and the command that gets each."""
    there = _table("There", "Version", "Device")
    missing = _table("Not there", "Why not, and how to get it")
    for found in diagnoses:
        if found.there:
            there.add_row(f"[green]{_escape(found.runtime)}[/]", found.version, _escape(found.device))
        else:
            missing.add_row(_escape(found.runtime), _escape(found.why))
            if found.get:
                missing.add_row("", f"[cyan]{_escape(found.get)}[/]")
    for table in (there, missing):
        if table.rows:
            _console().print(table)


def print_fault(fault: Fault, files: Sequence[Path], bundle: Path, runtime: str | None) -> None:
    """Where the fault is, which case is the smallest that shows it, and the command that runs it again."""
    failing = fault.failing
    smallest = f"The smallest case of {failing.artifact} that fails: {failing.says}."
    if not files:
        print_notes([fault.where, smallest])
        return
    print_notes([fault.where, f"{smallest} To run it again:"])
    where = f" --runtime {shlex.quote(runtime)}" if runtime else ""
    command = f"rnn-export verify {shlex.quote(str(bundle))} --case {shlex.quote(str(files[0]))}{where}"
    _console().print(f"    {_escape(command)}", highlight=False, soft_wrap=True)
    for file in files[1:]:
        print_notes([f"What every layer computes in it is in {file}."])


def print_case(failing: FailingCase, result: CaseResult) -> None:
    """One case: what went in where that is little, and each output where it is furthest off."""
    console = _console()
    console.print(f"\n[bold]{failing.artifact}[/bold], {failing.says}", highlight=False)
    for name, array in failing.item.inputs.items():
        if array.size <= _SHOWN:
            console.print(f"{name} = {_escape(str(array.tolist()))}", highlight=False)
    table = _table("Output", "Error", "Limit", "Verdict", "", right=[1, 2])
    for output in result.outputs:
        verdict = "PASS" if output.passed else "FAIL"
        place = f"at {list(output.index)}: " if output.index else ""
        what = _escape(f"{place}{output.reason or output.excused}") if not output.passed or output.excused else ""
        table.add_row(output.output, f"{output.error:.1e}", f"{output.limit:.1e}", _styled(verdict), what)
    console.print(table)
    if result.note:
        print_notes([f"{result.note}."])


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
        table.add_row(name, _microseconds(seconds))
    table.add_row("steps per second", f"{found.steps_per_second:,.0f}")
    table.add_row("weights per step", _size(found.weight_bytes))
    table.add_row("weights per second", f"{found.weight_rate / 1e9:.1f} GB/s")
    table.add_row("this machine reads", f"{found.read_rate / 1e9:.1f} GB/s")
    console.print(f"\n[bold]{found.steps:,} single steps{sizes}[/bold]", highlight=False)
    console.print(table)


def _microseconds(seconds: float) -> str:
    """Two digits at least: small weights are read in a few nanoseconds."""
    us = seconds * 1e6
    return f"{us:,.1f} us" if us >= 1 else f"{us:.2g} us"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


def _held_in(weights: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{dtype} {count:,}' for dtype, count in weights.items())})" if len(weights) > 1 else ""


def _state_row(before: str, state: Mapping[str, Any]) -> str:
    values = state["reset"]
    reset = f"{len(values)} values of its own" if isinstance(values, list) else values
    return f"{state['output']} becomes {before}, which begins as {reset}"


def _print_files(folder: Path, files: Mapping[str, int]) -> None:
    table = _table("File", "Size", right=[1])
    for name, size in files.items():
        table.add_row(str(folder / name), _size(size))
    _console().print()
    _console().print(table)


def _case_row(result: CaseResult, fed: Sequence[str]) -> list[str]:
    sizes = [*map(str, result.case.sizes.values()), *fed]
    worst = result.worst
    if worst is None:
        return [result.case.values, *sizes, "", "", "", ""]
    return [
        result.case.values,
        *sizes,
        worst.output,
        f"{worst.error:.1e}",
        f"{worst.limit:.1e}",
        _share(worst.share),
    ]


def _share(share: float) -> str:
    """An error in terms of its limit: a percentage, and how many times where it is far beyond."""
    if share == inf:
        return ""
    return f"{share:.0%}" if share < 10 else f"{share:,.0f}x"


def _bar(share: float, width: int) -> Bar:
    """Of so many characters; full from 1 on."""
    from rich.bar import Bar

    return Bar(1.0, 0.0, min(share, 1.0), width=width, color="cyan", bgcolor="default")


def _styled(verdict: str) -> str:
    return f"[{_STYLES[verdict]}]{verdict}[/]"


def _verdict(report: Report) -> str:
    counts = [
        f"{report.count(verdict)} {verdict}"
        for verdict in ("PASS", "KNOWN", "REFUSED", "FAIL")
        if report.count(verdict)
    ]
    own = "PyTorch's own error against float64" if report.reference == "float64" else "stated tolerances"
    measure = f"{report.bound:g} of each output's scale" if report.bound else own
    word, style = ("PASS", "bold green") if report.right else ("FAIL", "bold red")
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
