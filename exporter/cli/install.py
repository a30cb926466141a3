"""`rnn-export install`."""

from __future__ import annotations

import click

from .console import print_json, print_line
from .options import output_options


@click.command(short_help="Install what a runtime needs, with pip.")
@click.argument("runtime", metavar="RUNTIME")
@output_options
def install(runtime: str, as_json: bool, quiet: bool, debug: bool) -> None:
    """Install the package of a RUNTIME that `rnn-export doctor` lists, such as onnxruntime:webgpu.

    Packages of ONNX Runtime hold the same module. One takes the place of another, and the environment stays sound:
    whatever depends on onnxruntime finds it installed. `rnn-export install onnxruntime:cpu` goes back.
    """
    from ..runtimes.install import install as run_pip

    installed = run_pip(runtime, quiet=quiet)
    if as_json:
        print_json({"runtime": runtime, "installed": installed})
    elif not quiet:
        print_line(f"{installed} is installed. Try it with: rnn-export doctor {runtime}")
