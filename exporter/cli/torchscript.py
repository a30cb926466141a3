"""`rnn-export torchscript`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..spec.options import METHODS, TorchScriptOptions
from .command import SectionedCommand
from .console import progress
from .model_choice import bundle_folder, choose_model
from .options import Word, model_options, output_options, precision_options
from .summary import print_exported


@click.command(cls=SectionedCommand, short_help="Export a model to TorchScript, and verify it.")
@model_options
@click.option(
    "--method",
    type=Word(METHODS),
    metavar="METHOD",
    default="auto",
    help="script, trace, or auto: script, and trace what TorchScript cannot compile.  [default: auto]",
)
@click.option(
    "--stateful",
    is_flag=True,
    help="For streams: keep states in buffers; forward goes on where the call before ended, reset begins anew.",
)
@precision_options
@output_options
def torchscript(
    out: Path | None,
    no_verify: bool,
    cases: str | None,
    table: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **given: Any,
) -> None:
    """Export MODEL to frozen TorchScript, and verify it.

    \b
    rnn-export torchscript hetero
    rnn-export torchscript my.py:MyRNN --input 'x: float32[N, T, 100]'

    With --stateful the file keeps hidden states, and what the model itself keeps from call to call, in buffers.
    """
    model = choose_model(given)
    options = TorchScriptOptions(verify=not no_verify, seed=model.seed, **given)
    loaded, example = model.load(quiet or as_json)
    with progress(quiet or as_json) as advance:
        from ..export import export_torchscript

        exported = export_torchscript(
            loaded.model,
            loaded.signature,
            bundle_folder(out, loaded.source),
            options,
            example=example,
            cases=cases,
            source=loaded.source,
            progress=advance,
        )
    exported = replace(exported, notes=(*loaded.notes, *exported.notes))
    print_exported(exported, model.seed, table=table, as_json=as_json, quiet=quiet)
