"""What a report shows, in words: the headline, and what stands behind it. All that is for people uses these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .multiples import share_in_words

if TYPE_CHECKING:
    from .report import Report


def verdict_in_words(report: Report) -> str:
    """Whether the file matches PyTorch, and within what."""
    if report.verdict == "UNVERIFIED":
        return "is not shown to match PyTorch"
    if report.verdict == "FAIL" and report.right:
        return f"matches PyTorch, but did not run entirely in {report.runtime}"
    if report.verdict == "FAIL":
        return "does not match PyTorch"
    return f"matches PyTorch within {report.bound:g} of each output's scale" if report.bound else "matches PyTorch"


def shown(report: Report) -> str:
    """How many cases of which sizes, how near the worst of them is to its limit, and whether weights are identical."""
    cases = [result.case for result in report.cases]
    sizes = {name: [case.sizes[name] for case in cases if name in case.sizes] for name in report.traced}
    ranges = [f"{name} {_range(tried)}" for name, tried in sizes.items() if tried]
    fed = ["whole and in chunks"] if any(result.fed for result in report.cases) else []
    counted = ", ".join([_counted(report), *ranges, *fed, *_worst(report)])
    identical = report.weights is not None and report.weights.identical
    return f"{counted}; weights identical" if identical else counted


def behind(report: Report) -> list[str]:
    """What else was looked at, in sentences: weights that are not simply identical, further sizes, the runtime."""
    lines = []
    if report.weights is not None and not report.weights.identical:
        lines.append(str(report.weights))
    if report.probed is not None and report.probed.tried:
        lines.append(str(report.probed))
    limits = "" if report.reference == "float64" else ", its limits stated tolerances for lack of a float64 reference"
    lines.append(f"Ran in {report.runtime}, seed {report.seed}{limits}.")
    return lines


def _counted(report: Report) -> str:
    total = len(report.cases)
    found = {
        "wrong": report.count("FAIL"),
        "excused": report.count("EXPECTED"),
        "refused by PyTorch": report.count("REFUSED"),
    }
    counts = [f"{count} {word}" for word, count in found.items() if count]
    aside = f" ({', '.join(counts)})" if counts else ""
    return f"{total} case{'s' if total != 1 else ''}{aside}"


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"


def _worst(report: Report) -> list[str]:
    of = " of" if report.ratio < 10 else ""
    return [f"worst {share_in_words(report.ratio)}{of} its limit"] if report.ratio < 1e6 else []
