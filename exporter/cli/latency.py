"""`rnn-export latency`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import file_size, make_table, open_console, print_json, print_line, progress
from .options import output_options, parse_sizes

if TYPE_CHECKING:
    from ..stream.latency import Latency


@click.command(short_help="Time single steps of a stream.")
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


def print_latency(found: Latency) -> None:
    """Percentiles of a step, and what bounds it."""
    console = open_console()
    sizes = "".join(f", {name}={size}" for name, size in found.sizes.items())
    table = make_table("", "", right=[1])
    table.show_header = False
    for name, seconds in (("p50", found.p50), ("p99", found.p99), ("p99.9", found.p999), ("limit", found.limit)):
        table.add_row(name, _microseconds(seconds))
    table.add_row("steps per second", f"{found.steps_per_second:,.0f}")
    table.add_row("weights per step", file_size(found.weight_bytes))
    table.add_row("weights per second", f"{found.weight_rate / 1e9:.1f} GB/s")
    table.add_row("this machine reads", f"{found.read_rate / 1e9:.1f} GB/s")
    print_line("")
    print_line((f"{found.steps:,} single steps{sizes}", "bold"))
    console.print(table)


def _microseconds(seconds: float) -> str:
    """Two digits at least: small weights are read in a few nanoseconds."""
    us = seconds * 1e6
    return f"{us:,.1f} us" if us >= 1 else f"{us:.2g} us"
