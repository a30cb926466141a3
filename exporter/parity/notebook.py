"""A report as a notebook shows it: the headline, and behind a click a row for each case."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .in_words import behind, shown, verdict_in_words
from .multiples import share_in_words

if TYPE_CHECKING:
    from .report import CaseResult, Report

# Colours that can be read on a light and on a dark page.
_COLOURS = {"PASS": "#1a7f37", "FAIL": "#d1242f"}
_OTHERWISE = "#9a6700"


def report_html(report: Report) -> str:
    """One block of HTML, without scripts and without references."""
    colour = _COLOURS.get(report.verdict, _OTHERWISE)
    headline = escape(f"{report.artifact} {verdict_in_words(report)}")
    failure = f"<p>{escape(report.failure)}</p>" if report.failure else ""
    headings = "".join(
        f"<th>{escape(text)}</th>"
        for text in ("Values", *report.traced, "Output", "Error", "Limit", "Share", "Verdict")
    )
    rows = "".join(_row(result) for result in report.cases)
    return (
        f'<div><p><strong style="color:{colour}">{headline}</strong>: {escape(shown(report))}.<br>'
        f"{escape(' '.join(behind(report)))}</p>{failure}"
        f"<details><summary>Every case</summary><table><tr>{headings}</tr>{rows}</table></details></div>"
    )


def _row(result: CaseResult) -> str:
    worst = result.worst
    found = (
        ["", "", "", ""]
        if worst is None
        else [worst.output, f"{worst.error:.1e}", f"{worst.limit:.1e}", share_in_words(worst.share)]
    )
    values = f"{result.case.values}, fed {result.fed}" if result.fed else result.case.values
    cells = [values, *map(str, result.case.sizes.values()), *found, result.verdict]
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
