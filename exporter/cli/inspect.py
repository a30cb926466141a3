"""`rnn-export inspect`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import output_options
from .show import print_inspection, print_json


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@output_options
def inspect(path: Path, as_json: bool, quiet: bool, debug: bool) -> None:
    """Show a model file's inputs, outputs, states, operators, parameters and size.

    PATH is an .onnx file, a TorchScript .pt file, or a bundle.
    """
    from ..publish.inspect import inspect as inspect_path

    inspections = inspect_path(path)
    if as_json:
        print_json([inspection.to_json() for inspection in inspections])
    elif not quiet:
        for inspection in inspections:
            print_inspection(inspection)
