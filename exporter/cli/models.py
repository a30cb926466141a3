"""`rnn-export models`: the built-in variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from .console import make_table, open_console, print_json
from .options import output_options


@click.command(short_help="List the built-in models.")
@output_options
def models(as_json: bool, quiet: bool, debug: bool) -> None:
    """List the built-in variants: what they are, their inputs, outputs and parameters."""
    import torch

    from ..models import VARIANTS

    rows = []
    for variant in VARIANTS.values():
        with torch.device("meta"):
            model = variant.factory()
        signature = model.signature()  # type: ignore[operator]
        rows.append(
            {
                "name": variant.name,
                "summary": variant.summary,
                **signature.to_json(),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
            }
        )
    if as_json:
        print_json(rows)
    elif not quiet:
        print_models(rows)


def print_models(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.text import Text

    table = make_table("Model", "What it is", "Inputs", "Outputs", "Parameters", right=[4])
    for row in rows:
        inputs = Text("\n".join(f"{name}: {spec}" for name, spec in row["inputs"].items()))
        table.add_row(row["name"], row["summary"], inputs, ", ".join(row["outputs"]), f"{row['parameters']:,}")
    open_console().print(table)
