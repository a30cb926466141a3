"""`rnn-export inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import file_size, make_table, open_console, print_json, print_line
from .options import output_options

if TYPE_CHECKING:
    from ..publish.inspect import Inspection


@click.command(short_help="Show what a model file or a bundle holds.")
@click.argument("path", type=click.Path(path_type=Path))
@output_options
def inspect(path: Path, as_json: bool, quiet: bool, debug: bool) -> None:
    """Show a model file's inputs, outputs, states, recurrent layers, operators, parameters and size.

    PATH is an .onnx file, a TorchScript .pt or .jit file, or a bundle.
    """
    from ..publish.inspect import inspect as inspect_path

    inspections = inspect_path(path)
    if as_json:
        print_json([inspection.to_json() for inspection in inspections])
    elif not quiet:
        for inspection in inspections:
            print_inspection(inspection)


def print_inspection(inspection: Inspection) -> None:
    from .plain import short

    print_line("")
    print_line((str(inspection.path), "bold"), f"  {inspection.format}, {short(inspection.made_by)}")
    table = make_table("", "")
    table.show_header = False
    for title, entries in (("input", inspection.inputs), ("output", inspection.outputs)):
        for name, spec in entries.items():
            table.add_row(title, f"{short(name)}: {short(spec)}")
    for before, state in inspection.states.items():
        table.add_row("state", _state_row(short(before), short(str(state["output"])), state["reset"]))
    for layer in inspection.layers:
        table.add_row("layer", short(layer))
    operators = ", ".join(f"{short(name)} {count}" for name, count in inspection.operators.items())
    table.add_row("operators", operators)
    if inspection.own_operators:
        own = ", ".join(map(short, inspection.own_operators))
        table.add_row("runs in", f"ONNX Runtime alone: {own} of com.microsoft")
    table.add_row("parameters", f"{inspection.parameters:,}{_held_in(inspection.weights)}")
    table.add_row("size", file_size(inspection.bytes))
    open_console().print(table)


def _held_in(weights: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{dtype} {count:,}' for dtype, count in weights.items())})" if len(weights) > 1 else ""


def _state_row(before: str, output: str, values: Any) -> str:
    reset = f"{len(values)} values of its own" if isinstance(values, list) else values
    return f"{output} becomes {before}, which begins as {reset}"
