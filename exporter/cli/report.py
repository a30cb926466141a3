"""`rnn-export report`."""

from __future__ import annotations

from pathlib import Path

import click

from .console import exit_unless_passed, print_json, print_notes, progress
from .options import output_options
from .wording import in_options


@click.command(short_help="Verify a bundle, and write an HTML page about it.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The page.  [default: BUNDLE.report.html, beside it]")
@click.option("--model", metavar="MODEL", help="As for verify: build the model from this code, which you trust.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="For the fresh test cases.  [default: drawn]")
@output_options
def report(
    bundle: Path, out: Path | None, model: str | None, seed: int | None, as_json: bool, quiet: bool, debug: bool
) -> None:
    """Verify a BUNDLE and write what was found as one HTML page, which needs no network.

    Verdicts, errors over sizes, over time and in ulps, the time of a run, and the graph. What is wrong is said here
    too, and the exit code is that of verify.
    """
    with progress(quiet or as_json) as advance:
        from ..publish.report import verify_and_report

        path, found = verify_and_report(bundle, out, model=model, seed=seed, progress=advance)
    if as_json:
        verdict = {"passed": found.passed, "verdict": found.verdict, "error": in_options(found.failure)}
        print_json({"report": str(path), **verdict})
    elif not quiet:
        print_notes([f"The report is {path}."])
    exit_unless_passed(found)
