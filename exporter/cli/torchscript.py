"""`rnn-export torchscript`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import bundle_folder, choice, model_options, output_options, precision_options
from .show import finish_export, progress

if TYPE_CHECKING:
    from ..lowering.torchscript import Method


@click.command()
@model_options
@click.option(
    "--method",
    type=click.Choice(["auto", "script", "trace"]),
    default="auto",
    show_default=True,
    help="auto scripts, and traces what TorchScript cannot compile.",
)
@precision_options
@output_options
def torchscript(
    out: Path | None,
    no_verify: bool,
    method: Method,
    precision: str | None,
    max_error: float | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **arguments: Any,
) -> None:
    """Export a model to frozen TorchScript, and prove it.

    States are those that the model itself takes and returns; hidden ones can be made inputs and outputs in ONNX alone.
    """
    if max_error is not None and precision is None:
        raise click.UsageError(
            "--max-error bounds what smaller weights cost, and there are none. Give --precision float16 too."
        )
    model = choice(arguments)
    with progress(quiet or as_json) as advance:
        from ..export import export_torchscript

        loaded = model.load()
        exported = export_torchscript(
            loaded.model,
            loaded.signature,
            bundle_folder(out, loaded.source),
            verify=not no_verify,
            method=method,
            precision=precision,
            max_error=max_error,
            seed=model.seed,
            source=loaded.source,
            progress=advance,
        )
    finish_export(replace(exported, notes=(*loaded.notes, *exported.notes)), as_json, quiet)
