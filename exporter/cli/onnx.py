"""`rnn-export onnx`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ..spec.forms import LOWERINGS, TARGETS
from ..spec.options import OnnxOptions
from .command import SectionedCommand
from .console import progress
from .model_choice import bundle_folder, choose_model
from .options import Word, model_options, output_options, parse_metadata, parse_sizes, precision_options
from .summary import print_exported


@click.command(cls=SectionedCommand, short_help="Export a model to ONNX, and verify it.")
@model_options
@click.option("--opset", metavar="VERSION", default=18, type=int, help="17 to 28.  [default: 18]")
@click.option(
    "--stateful",
    is_flag=True,
    help="For streams: make hidden states inputs and outputs, so that chunks can be fed.",
)
@click.option(
    "--quantize", type=Word(["int8"]), metavar="DTYPE", help="int8: weights as int8, a scale for each channel."
)
@precision_options
@click.option(
    "--state-names",
    metavar="TEMPLATE",
    help="What to call the states that --stateful finds: 'h{layer}', or 'past.{layer}.{kind}=present.{layer}.{kind}' "
    "with a name for what comes out; or onnxruntime-genai.",
)
@click.option(
    "--metadata",
    multiple=True,
    metavar="KEY=VALUE",
    help="An entry for the file's metadata, such as num_encoder_layers=4. Repeatable.",
)
@click.option(
    "--lowering",
    type=Word(LOWERINGS),
    metavar="FORM",
    default="auto",
    help="Recurrent layers as ONNX's own operators (native) or as Scan; linear attention as ONNX Runtime's operator "
    "(contrib, in a stream causal convolutions too), ONNX's (standard, from opset 27 on) or as Scan; auto takes what "
    "is faster on the target.  [default: auto]",
)
@click.option(
    "--target",
    type=Word(TARGETS),
    metavar="TARGET",
    default="cpu",
    help=f"Where the file is to run: {', '.join(TARGETS)}. It is verified in ONNX Runtime on the CPU.  [default: cpu]",
)
@click.option(
    "--tune",
    multiple=True,
    metavar="SIZES",
    help="Time the forms here at sizes such as 'T=1,N=1', and take the fastest. Repeatable.",
)
@output_options
def onnx(
    out: Path | None,
    no_verify: bool,
    cases: str | None,
    tune: tuple[str, ...],
    metadata: tuple[str, ...],
    table: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **given: Any,
) -> None:
    """Export MODEL to ONNX, and verify it in ONNX Runtime.

    \b
    rnn-export onnx hetero
    rnn-export onnx my.py:MyRNN --weights my.pt --input 'x: float32[N, T, 100]'
    """
    model = choose_model(given)
    sizes = [parse_sizes(text) for text in tune]
    options = OnnxOptions(verify=not no_verify, tune=sizes, seed=model.seed, metadata=parse_metadata(metadata), **given)
    loaded, example = model.load(quiet or as_json)
    with progress(quiet or as_json) as advance:
        from ..export import export_onnx

        exported = export_onnx(
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
