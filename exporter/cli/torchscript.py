"""`rnn-export torchscript`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..spec.options import METHODS, TorchScriptOptions
from .console import progress
from .options import bundle_folder, choice, model_options, output_options, precision_options
from .report_table import print_exported


@click.command()
@model_options
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="auto scripts, and traces what TorchScript cannot compile.",
)
@precision_options
@output_options
def torchscript(
    out: Path | None, no_verify: bool, cases: str | None, as_json: bool, quiet: bool, debug: bool, **given: Any
) -> None:
    """Export a model to frozen TorchScript, and verify it.

    States are those that the model itself takes and returns; hidden ones can be made inputs and outputs in ONNX alone.
    """
    model = choice(given)
    options = TorchScriptOptions(verify=not no_verify, seed=model.seed, **given)
    with progress(quiet or as_json) as advance:
        from ..export import export_torchscript

        loaded = model.load()
        exported = export_torchscript(
            loaded.model,
            loaded.signature,
            bundle_folder(out, loaded.source),
            options,
            cases=cases,
            source=loaded.source,
            progress=advance,
        )
    print_exported(replace(exported, notes=(*loaded.notes, *exported.notes)), as_json, quiet)
