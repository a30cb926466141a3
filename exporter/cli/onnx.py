"""`rnn-export onnx`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..spec.forms import LOWERINGS, TARGETS, Lowering, Target
from .options import bundle_folder, choice, model_options, output_options, parse_sizes, precision_options
from .show import finish_export, progress


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
    help="Where the file is to run. It is proved in ONNX Runtime on the CPU, whatever the target.",
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
    opset: int,
    stateful: bool,
    quantize: str | None,
    precision: str | None,
    max_error: float | None,
    lowering: Lowering,
    target: Target,
    tune: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    debug: bool,
    **arguments: Any,
) -> None:
    """Export a model to ONNX, and prove it in ONNX Runtime on the CPU."""
    if max_error is not None and quantize is None and precision is None:
        raise click.UsageError(
            "--max-error bounds what smaller weights cost, and there are none. "
            "Give --quantize int8 or --precision float16 too."
        )
    model = choice(arguments)
    with progress(quiet or as_json) as advance:
        from ..export import export_onnx

        loaded = model.load()
        exported = export_onnx(
            loaded.model,
            loaded.signature,
            bundle_folder(out, loaded.source),
            verify=not no_verify,
            opset=opset,
            stateful=stateful,
            quantize=quantize,
            precision=precision,
            max_error=max_error,
            lowering=lowering,
            target=target,
            tune=[parse_sizes(text) for text in tune],
            seed=model.seed,
            source=loaded.source,
            progress=advance,
        )
    finish_export(replace(exported, notes=(*loaded.notes, *exported.notes)), as_json, quiet)
