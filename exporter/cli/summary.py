"""The first screen: in two or three lines what was shown, where it is, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .case_table import print_case_table
from .console import file_size, print_json, print_line, print_notes

if TYPE_CHECKING:
    from ..bundle.assemble import Exported
    from ..parity.report import Report
    from ..publish.copy_bundle import WrittenFiles

_HEADLINES = {
    "PASS": ("matches PyTorch", "bold green"),
    "UNVERIFIED": ("is not shown to match PyTorch", "bold yellow"),
    "FAIL": ("does not match PyTorch", "bold red"),
}


def print_exported(exported: Exported, seed: int, *, table: bool, as_json: bool, quiet: bool) -> None:
    """Print what an export showed and wrote; `seed` is what the model was built with."""
    if as_json:
        print_json(exported.to_json())
    elif not quiet:
        if exported.report:
            print_report(exported.report, table=table)
        print_notes(exported.notes if exported.report else [*exported.notes, "Not verified."])
        if exported.untrained:
            print_notes([f"Untrained, seed {seed}: give trained weights with --weights."])
        _print_files(exported.folder, exported.files)
        _print_next(exported)


def print_written(written: Sequence[WrittenFiles], as_json: bool, quiet: bool) -> None:
    """Print what was made of a bundle."""
    if as_json:
        print_json([{"folder": str(each.folder), "files": each.files, "notes": list(each.notes)} for each in written])
    elif not quiet:
        for each in written:
            print_notes(each.notes)
            _print_files(each.folder, each.files)


def print_report(report: Report, *, table: bool) -> None:
    """The verdict and what it rests on; a row per case where `table` asks for it, and for each that failed anyway."""
    words, style = _HEADLINES[report.verdict]
    if report.bound and report.verdict == "PASS":
        words = f"matches PyTorch within {report.bound:g} of each output's scale"
    if report.verdict == "FAIL" and report.right:
        words = f"matches PyTorch, but did not run entirely in {report.runtime}"
    shown = "; ".join([_cases(report), *_weights(report)])
    print_line((f"{report.artifact} {words}", style), f": {shown}.")
    print_line(" ".join(_rest(report)))
    if report.doubt is not None:
        print_line(f"Unverified: {report.doubt.why}.")
    if table:
        print_case_table(report.cases, report.traced)
    elif failed := [result for result in report.cases if result.verdict == "FAIL"]:
        print_case_table(failed[:5], report.traced)
        if len(failed) > 5:
            print_line(f"{len(failed) - 5} more failed; --cases shows them.")
    for note in dict.fromkeys(result.note for result in report.cases if result.note):
        cases = sum(result.note == note for result in report.cases)
        print_notes([f"{note}{f' ({cases} cases)' if cases > 1 else ''}."])


def _cases(report: Report) -> str:
    """How many cases of which sizes, and how near the worst of them is to its limit."""
    ranges = [f"{name} {_range([result.case.sizes[name] for result in report.cases])}" for name in report.traced]
    fed = ["whole and in chunks"] if any(result.fed for result in report.cases) else []
    return ", ".join([_counted(report), *ranges, *fed, *_worst(report)])


def _counted(report: Report) -> str:
    total = len(report.cases)
    found = {
        "wrong": report.count("FAIL"),
        "right but for NaN": report.count("EXPECTED"),
        "refused by PyTorch": report.count("REFUSED"),
    }
    counts = [f"{count} {word}" for word, count in found.items() if count]
    aside = f" ({', '.join(counts)})" if counts else ""
    return f"{total} case{'s' if total != 1 else ''}{aside}"


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return str(low) if low == high else f"{low} to {high}"


def _worst(report: Report) -> list[str]:
    """The largest error in terms of its limit: a percentage, and how many times where it is far beyond."""
    if report.ratio >= 1e6:
        return []
    share = f"{report.ratio:.0%}" if report.ratio < 10 else f"{report.ratio:,.0f} times"
    return [f"worst {share} of its limit"]


def _weights(report: Report) -> list[str]:
    if report.weights is None:
        return []
    return ["weights identical"] if report.weights.identical else []


def _rest(report: Report) -> list[str]:
    """What else was looked at: further sizes, weights that are not simply identical, and the limits and the runtime."""
    probed, weights = report.probed, report.weights
    lines = []
    if weights is not None and not weights.identical:
        lines.append(str(weights))
    if probed is not None and probed.tried:
        lines.append(str(probed))
    limits = "" if report.reference == "float64" else ", its limits stated tolerances for lack of a float64 reference"
    lines.append(f"Ran in {report.runtime}, seed {report.seed}{limits}.")
    return lines


def _print_files(folder: Path, files: Mapping[str, int]) -> None:
    names = ", ".join(files)
    print_line("")
    print_line((f"{folder}", "bold"), f" ({file_size(sum(files.values()))}): {names}")


def _print_next(exported: Exported) -> None:
    """How to see more, and how to run what was written."""
    languages = "Python, C++ and JavaScript" if "model.onnx" in exported.files else "Python and C++"
    print_line(f"Next: {exported.folder / 'README.md'} shows how to run it in {languages}.")
