"""The row of each case: its sizes and values, the largest error and its limit, the verdict."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from ..parity.multiples import share_in_words
from .console import make_table, open_console, print_line, share_bar, styled

if TYPE_CHECKING:
    from ..parity.report import CaseResult

_SHARE_BAR = 6


def print_case_table(cases: Sequence[CaseResult], sizes: Mapping[str, int]) -> None:
    """A row per case; `sizes` are named in this order. A narrow terminal gets the columns that it has room for."""
    console = open_console()
    fed = ["Fed"] if any(result.fed for result in cases) else []
    bars = [""] if sys.stdout.isatty() and not fed else []
    numbers = ("Output", "Error", "Limit", "Share", *bars)
    table = make_table("Values", *sizes, *fed, *numbers, "Verdict", right=range(1, 99))
    for result in cases:
        share = [share_bar(result.worst.share if result.worst else 0.0, _SHARE_BAR)] if bars else []
        table.add_row(*_case_row(result, [result.fed or "whole"] if fed else []), *share, styled(result.verdict))
    print_line("")
    console.print(table)


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
    return "" if share == inf else share_in_words(share)
