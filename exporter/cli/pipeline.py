"""`rnn-export pipeline`."""

from __future__ import annotations

from pathlib import Path

import click

from .console import print_json, print_line, print_notes
from .options import output_options


@click.command(short_help="Export a model of several graphs, and verify that it decodes right.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The folder.  [default: the file's, or artifacts/FILE]")
@click.option("--no-verify", is_flag=True, help="Write it without comparing it with PyTorch.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="For weights and test cases."
)
@output_options
def pipeline(file: Path, out: Path | None, no_verify: bool, seed: int, as_json: bool, quiet: bool, debug: bool) -> None:
    """Export the graphs that FILE describes, in TOML, each to a bundle, and verify that they decode as PyTorch does.

    A transducer has an encoder, a predictor and a joiner; a language model reads its prompt, and then token by token.
    """
    from ..pipelines.settings_file import export_from
    from ..spec.options import OnnxOptions

    exported = export_from(file, out, OnnxOptions(verify=not no_verify, seed=seed))
    if as_json:
        print_json({"folder": str(exported.folder), "notes": list(exported.notes), "checked": exported.to_json()})
    elif not quiet:
        print_line(exported.verdict)
        print_notes(exported.notes)
        print_line("")
        print_line((f"{exported.folder}", "bold"), f": pipeline.json, {', '.join(exported.bundles)}")
