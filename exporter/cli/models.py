"""`rnn-export models`: the built-in variants."""

from __future__ import annotations

import click

from .options import output_options
from .show import print_json, print_models


@click.command()
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
