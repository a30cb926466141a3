"""The first screen: in two or three lines what was shown, where it is, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..parity.in_words import behind, shown, verdict_in_words
from .case_table import print_case_table
from .console import file_size, print_json, print_line, print_notes, print_notes_aside

if TYPE_CHECKING:
    from ..bundle.assemble import Exported
    from ..parity.report import Report
    from ..publish.copy_bundle import WrittenFiles

_STYLES = {"PASS": "bold green", "UNVERIFIED": "bold yellow", "FAIL": "bold red"}


def print_exported(exported: Exported, seed: int, *, table: bool, as_json: bool, quiet: bool) -> None:
    """Print what an export showed and wrote; `seed` is what the model was built with."""
    untrained = [f"Untrained, seed {seed}: give trained weights with --weights."] if exported.untrained else []
    if as_json:
        print_json(exported.to_json())
    elif quiet:
        print_notes_aside(untrained)
    else:
        if exported.report:
            print_report(exported.report, table=table)
        print_notes(exported.notes if exported.report else [*exported.notes, "Not verified."])
        print_notes(untrained)
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
    headline = (f"{report.artifact} {verdict_in_words(report)}", _STYLES[report.verdict])
    print_line(headline, f": {shown(report)}.")
    print_line(" ".join(behind(report)))
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


def _print_files(folder: Path, files: Mapping[str, int]) -> None:
    names = ", ".join(files)
    print_line("")
    print_line((f"{folder}", "bold"), f" ({file_size(sum(files.values()))}): {names}")


def _print_next(exported: Exported) -> None:
    """How to see more, and how to run what was written."""
    languages = "Python, C++ and JavaScript" if "model.onnx" in exported.files else "Python and C++"
    print_line(f"Next: {exported.folder / 'README.md'} shows how to run it in {languages}.")
