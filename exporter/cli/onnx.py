"""`rnn-export onnx`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..spec.forms import LOWERINGS, TARGETS
from ..spec.options import OnnxOptions
from .console import progress
from .options import bundle_folder, choice, model_options, output_options, parse_sizes, precision_options
from .report_table import print_exported


@click.command()
@model_options
@click.option("--opset", default=18, show_default=True, help="Version of the standard ONNX operators, 17 or newer.")
@click.option(
    "--stateful",
    is_flag=True,
    help="Make the hidden states of recurrent layers inputs and outputs, so that a stream can be fed in chunks.",
)
@click.option("--quantize", type=click.Choice(["int8"]), help="Store weights as int8, with a scale per channel.")
@precision_options
@click.option(
    "--lowering",
    type=click.Choice(LOWERINGS),
    default="auto",
    show_default=True,
    help="Write recurrent layers as ONNX's own operators or as Scan; auto takes what is faster on the target.",
)
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    default="cpu",
    show_default=True,
    help="Where the file is to run. It is verified in ONNX Runtime on the CPU, whatever the target.",
)
@click.option(
    "--tune",
    multiple=True,
    metavar="SIZES",
    help="Time the forms on this machine at sizes such as 'T=1,N=1', and take the fastest. Repeatable.",
)
@output_options
def onnx(
    out: Path | None,
    no_verify: bool,
    cases: str | None,
    tune: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    debug: bool,
    **given: Any,
) -> None:
    """Export a model to ONNX, and verify it in ONNX Runtime on the CPU."""
    model = choice(given)
    sizes = [parse_sizes(text) for text in tune]
    options = OnnxOptions(verify=not no_verify, tune=sizes, seed=model.seed, **given)
    with progress(quiet or as_json) as advance:
        from ..export import export_onnx

        loaded = model.load()
        exported = export_onnx(
            loaded.model,
            loaded.signature,
            bundle_folder(out, loaded.source),
            options,
            cases=cases,
            source=loaded.source,
            progress=advance,
        )
    print_exported(replace(exported, notes=(*loaded.notes, *exported.notes)), as_json, quiet)
