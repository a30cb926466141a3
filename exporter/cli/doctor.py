"""`rnn-export doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import make_table, open_console, print_json, progress
from .options import output_options

if TYPE_CHECKING:
    from ..runtimes.doctor import Diagnosis


@click.command(short_help="List the runtimes: there or not, and how to get them.")
@click.argument("runtimes", nargs=-1, metavar="[RUNTIME]...")
@click.option(
    "--provider-library", type=click.Path(path_type=Path), help="A plug-in of ONNX Runtime that holds a provider."
)
@output_options
def doctor(runtimes: tuple[str, ...], provider_library: Path | None, as_json: bool, quiet: bool, debug: bool) -> None:
    """List every runtime and execution provider: there or not, and how to get it.

    A runtime is there if a model of two nodes has just run in it, and on no other provider. With names, such as
    onnxruntime:webgpu, those alone are tried, and it is an error if one is not there.
    """
    with progress(quiet or as_json) as advance:
        from ..errors import UnavailableError
        from ..runtimes.doctor import diagnose

        found = diagnose(runtimes, provider_library, lambda done, total: advance("probe", done, total))
    if as_json:
        print_json([diagnosis.to_json() for diagnosis in found])
    elif not quiet:
        print_diagnoses(found)
    missing = [diagnosis for diagnosis in found if not diagnosis.there]
    if runtimes and missing:
        raise UnavailableError(f"{missing[0].runtime} is not there. {missing[0].why}")


def print_diagnoses(diagnoses: Sequence[Diagnosis]) -> None:
    """A table of the runtimes that are there, and one of the others, with why not and the command that gets each."""
    from rich.text import Text

    there = make_table("There", "Version", "Device")
    missing = make_table("Not there", "Why not, and how to get it")
    for found in diagnoses:
        if found.there:
            there.add_row(Text(found.runtime, "green"), found.version, found.device)
        else:
            missing.add_row(found.runtime, found.why)
            if found.get:
                missing.add_row("", Text(found.get, "cyan"))
    for table in (there, missing):
        if table.rows:
            open_console().print(table)
