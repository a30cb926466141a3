"""Which operators of a file ran on which execution provider, and how long they took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import make_table, open_console, print_line, share_bar, styled

if TYPE_CHECKING:
    from rich.text import Text

    from ..parity.report import Report
    from ..runtimes.placement import Placement, Ran

_TIME_BAR = 20
_REMARKS = {
    "drives": "runs the nodes of its body",
    "sizes": "computes sizes",
    "copies": "copies",
    "computes": "",
}


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
