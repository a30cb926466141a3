"""`rnn-export triton`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from .options import output_options
from .summary import print_written


@click.command(short_help="Write a bundle for Triton Inference Server.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The model repository.")
@click.option("--name", help="The model's name there.  [default: the bundle's]")
@click.option(
    "--max-batch", type=click.IntRange(0), default=32, show_default=True, help="Sequences at once; 0 batches none."
)
@click.option("--instances", type=click.IntRange(1), default=1, show_default=True, help="Of the model, side by side.")
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@output_options
def triton(
    bundle: Path,
    out: Path,
    name: str | None,
    max_batch: int,
    instances: int,
    device: Literal["cpu", "gpu"],
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Write a BUNDLE as a model of Triton Inference Server.

    Requests are batched where the model's layout allows it and its stored cases show that it is right. Triton carries
    the states of a --stateful bundle.
    """
    from ..publish.triton import write_triton

    written = write_triton(bundle, out, name=name, max_batch=max_batch, instances=instances, device=device)
    print_written([written], as_json, quiet)
