"""`rnn-export latency`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import output_options, parse_sizes
from .show import print_json, print_latency, progress


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(1), default=10_000, show_default=True, help="How many to time.")
@click.option("--sizes", metavar="NAME=SIZE,...", help="Of dynamic dimensions, such as N=2; else 1.")
@output_options
def latency(bundle: Path, steps: int, sizes: str | None, as_json: bool, quiet: bool, debug: bool) -> None:
    """Time single steps of a BUNDLE that was exported with --stateful.

    One step after another of random values, as rnn_export.Stream runs them, each timed by itself; beside them the time
    that this machine takes to read the weights once.
    """
    with progress(quiet or as_json) as advance:
        from ..stream.latency import measure_latency

        found = measure_latency(bundle, sizes=parse_sizes(sizes) if sizes else {}, steps=steps, progress=advance)
    if as_json:
        print_json(found.to_json())
    elif not quiet:
        print_latency(found)
