"""`rnn-export verify`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import output_options
from .show import print_json, print_notes, print_report, progress


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="MODEL",
    help="Build the model from this code, file.py:Factory or package.module:Factory, which says that you trust it.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="For the fresh test cases.  [default: drawn, and printed]"
)
@output_options
def verify(bundle: Path, model: str | None, seed: int | None, as_json: bool, quiet: bool, debug: bool) -> None:
    """Verify a BUNDLE again, from the bundle alone.

    A built-in model or an installed class is built again with the weights in the bundle and tried on fresh random
    cases. For any other the stored cases are replayed, unless --model says what code to run.
    """
    with progress(quiet or as_json) as advance:
        from ..errors import ParityError
        from ..verify import verify as verify_bundle

        verification = verify_bundle(bundle, model=model, seed=seed, progress=advance)
    if as_json:
        print_json(
            {
                "passed": verification.passed,
                "how": verification.how,
                "why": verification.why,
                "seed": verification.seed,
                "reports": [report.to_json() for report in verification.reports],
            }
        )
    elif not quiet:
        for report in verification.reports:
            print_report(report)
        if verification.how == "replayed":
            print_notes([f"Replayed the stored cases: {verification.why}."])
        else:
            print_notes([f"Built the model again and drew fresh cases, seed {verification.seed}."])
    failed = next((report for report in verification.reports if not report.passed), None)
    if failed is not None:
        raise ParityError(failed.failure, failed)
