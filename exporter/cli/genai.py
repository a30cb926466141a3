"""`rnn-export genai`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import output_options
from .summary import print_written


@click.command(short_help="Write the configuration of onnxruntime-genai.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--eos", type=click.IntRange(0), required=True, metavar="TOKEN", help="The token that ends a text.")
@click.option("--bos", type=click.IntRange(0), metavar="TOKEN", help="That which begins one.  [default: as --eos]")
@click.option("--pad", type=click.IntRange(0), metavar="TOKEN", help="That which fills one up.  [default: as --eos]")
@click.option(
    "--context-length", type=click.IntRange(1), default=2048, show_default=True, help="How many tokens a text may have."
)
@output_options
def genai(
    bundle: Path,
    eos: int,
    bos: int | None,
    pad: int | None,
    context_length: int,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Add genai_config.json to a BUNDLE, with which onnxruntime-genai generates text.

    The model takes tokens and returns logits, and was exported with --stateful --state-names onnxruntime-genai.
    """
    from ..publish.genai import write_genai

    print_written([write_genai(bundle, eos=eos, bos=bos, pad=pad, context_length=context_length)], as_json, quiet)
