"""`rnn-export bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import output_options
from .summary import print_written


@click.command(short_help="Make a smaller bundle for shipping, or ONNX tests.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The folder of the new bundle.")
@click.option(
    "--without",
    multiple=True,
    metavar="PART",
    help="Leave out 'weights', 'cases', a model file such as 'model.pt', or a file that was added. Repeatable.",
)
@click.option(
    "--onnx-tests",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write the cases as test_data_set_*/input_*.pb and output_*.pb, as the ONNX project has its tests.",
)
@output_options
def bundle(
    bundle: Path,
    out: Path | None,
    without: tuple[str, ...],
    onnx_tests: Path | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Make another bundle of a BUNDLE for shipping, or tests of its cases.

    The new bundle has a manifest with hashes of its own. What stays in it is as it was verified.
    """
    if out is None and (onnx_tests is None or without):
        raise click.UsageError("Give --out for the new bundle's folder, or --onnx-tests for a folder of tests.")
    from ..bundle.files import Bundle

    opened, written = Bundle.open(bundle), []
    if out is not None:
        from ..publish.copy_bundle import copy_bundle

        written.append(copy_bundle(opened, out, without=without))
    if onnx_tests is not None:
        from ..publish.onnx_tests import write_onnx_tests

        written.append(write_onnx_tests(opened, onnx_tests))
    print_written(written, as_json, quiet)
