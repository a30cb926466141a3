"""The tables of results: a row for each case, the verdict, which operators ran where, and the files written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

from .console import make_table, open_console, print_line, print_notes, share_bar, styled

if TYPE_CHECKING:
    from rich.text import Text

    from ..parity.report import CaseResult, Report
    from ..runtimes.placement import Placement, Ran
from collections.abc import Mapping
from pathlib import Path

from .console import file_size, print_json

if TYPE_CHECKING:
    from ..bundle.assemble import Exported
    from ..publish.copy_bundle import WrittenFiles

_SHARE_BAR, _TIME_BAR = 6, 20
_REMARKS = {
    "drives": "runs the nodes of its body",
    "sizes": "computes sizes",
    "copies": "copies",
    "computes": "",
}


def print_report(report: Report) -> None:
    """A row per case, then the verdict."""
    console = open_console()
    fed = ["Fed"] if any(result.fed for result in report.cases) else []
    bars = [""] if sys.stdout.isatty() else []
    numbers = ("Output", "Error", "Limit", "Share", *bars)
    table = make_table("Values", *report.traced, *fed, *numbers, "Verdict", right=range(1, 99))
    for result in report.cases:
        share = [share_bar(result.worst.share if result.worst else 0.0, _SHARE_BAR)] if bars else []
        table.add_row(*_case_row(result, [result.fed or "whole"] if fed else []), *share, styled(result.verdict))
    print_line("")
    print_line((report.artifact, "bold"), f" in {report.runtime}, seed {report.seed}")
    console.print(table)
    print_line(styled(report.verdict), f"  {_counts(report)}")
    if report.weights is not None:
        print_line(str(report.weights))
    if report.probed is not None:
        print_line(str(report.probed))
    if report.doubt is not None:
        print_line(f"Unverified: {report.doubt.why}.")
    for note in dict.fromkeys(result.note for result in report.cases if result.note):
        cases = sum(result.note == note for result in report.cases)
        print_notes([f"{note}{f' ({cases} cases)' if cases > 1 else ''}."])


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


def _counts(report: Report) -> str:
    counts = [
        f"{report.count(verdict)} {verdict}"
        for verdict in ("PASS", "EXPECTED", "REFUSED", "FAIL")
        if report.count(verdict)
    ]
    own = "PyTorch's own error against float64" if report.reference == "float64" else "stated tolerances"
    measure = f"{report.bound:g} of each output's scale" if report.bound else own
    share = f"; the largest error is {report.ratio:.0%} of its limit" if report.ratio < 1e6 else ""
    cases = f"{', '.join(counts)} of {len(report.cases)} cases"
    return f"{cases}{share}. Limits: {measure}."


def print_placement(report: Report) -> None:
    """Which operators ran on which execution provider, what took the longest first."""
    from rich.text import Text

    console, placement = open_console(), report.placement
    print_line("")
    print_line((report.artifact, "bold"), f" on {_place(report)} {placement.version}")
    table = make_table("Operator", "Ran on", "Runs", "Time", "", "", right=[2, 3])
    for ran in placement.nodes:
        style, remark = _remark(ran, placement, report.allow_fallback)
        share = share_bar(ran.share, _TIME_BAR)
        provider = Text(ran.provider.removesuffix("ExecutionProvider"), style)
        table.add_row(ran.operator, provider, f"{ran.runs:,}", _percent(ran.share), share, Text(remark, style))
    if placement.nodes:
        console.print(table)
    print_line(*_where_it_ran(placement, report.allow_fallback))


def _place(report: Report) -> str:
    """The execution provider, or where nothing is known of one the runtime."""
    return report.placement.provider if report.placement.nodes else report.runtime


def _remark(ran: Ran, placement: Placement, allowed: bool) -> tuple[str, str]:
    """The style of an operator's row, and what is said of one that ran elsewhere."""
    if ran in placement.fallback:
        return ("yellow", "fallback, allowed") if allowed else ("bold red", "FALLBACK")
    return "dim" if ran.provider != placement.provider else "", _REMARKS[ran.role]


def _where_it_ran(placement: Placement, allowed: bool) -> tuple[str | Text, ...]:
    if not placement.nodes:
        return ("It tells nothing of execution providers.",)
    if not placement.fallback:
        return styled("PASS"), f"  All that computes ran on {placement.provider}."
    word = styled("ALLOWED" if allowed else "FAIL")
    elsewhere = _percent(sum(ran.share for ran in placement.fallback))
    return word, f"  {elsewhere} of the time went to nodes that did not run on {placement.provider}."


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "<1%"


def print_exported(exported: Exported, as_json: bool, quiet: bool) -> None:
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


def _print_files(folder: Path, files: Mapping[str, int]) -> None:
    table = make_table("File", "Size", right=[1])
    for name, size in files.items():
        table.add_row(str(folder / name), file_size(size))
    open_console().print()
    open_console().print(table)
