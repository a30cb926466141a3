"""What an export, or a command that makes something from a bundle, has written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .console import file_size, make_table, open_console, print_json, print_notes
from .report_table import print_report

if TYPE_CHECKING:
    from ..bundle.assemble import Exported
    from ..publish.copy_bundle import WrittenFiles


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
