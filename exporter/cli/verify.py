"""`rnn-export verify`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import output_options
from .show import print_case, print_error, print_json, print_notes, print_report, print_smallest, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..failing_case import FailingCase
    from ..parity import Report
    from ..verify import Verification


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
@click.option(
    "--case",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run this one case again, which an earlier verification wrote when it failed.",
)
@output_options
def verify(
    bundle: Path, model: str | None, seed: int | None, case: Path | None, as_json: bool, quiet: bool, debug: bool
) -> None:
    """Verify a BUNDLE again, from the bundle alone.

    A built-in model or an installed class is built again with the weights in the bundle and tried on fresh random
    cases. For any other the stored cases are replayed, unless --model says what code to run. When an artifact fails,
    the smallest case that shows it is written beside the bundle.
    """
    if case is not None:
        if model is not None or seed is not None:
            raise click.UsageError("--case runs one case as it is stored. Leave out --model and --seed.")
        _replay(bundle, case, as_json, quiet)
    else:
        _verify(bundle, model, seed, as_json, quiet)


def _replay(bundle: Path, case: Path, as_json: bool, quiet: bool) -> None:
    from ..verify import replay

    failing, report = replay(bundle, case)
    if as_json:
        print_json({"passed": report.passed, "error": report.failure, "reports": [report.to_json()]})
    elif not quiet:
        print_case(failing, report.cases[0])
    _exit_unless_passed([report])


def _verify(bundle: Path, model: str | None, seed: int | None, as_json: bool, quiet: bool) -> None:
    with progress(quiet or as_json) as advance:
        from ..verify import verify as verify_bundle

        verification = verify_bundle(bundle, model=model, seed=seed, progress=advance)
    cases = [(failing, _write(failing, bundle)) for failing in verification.smallest]
    if as_json:
        print_json(
            {
                "passed": verification.passed,
                "error": next((report.failure for report in verification.reports if not report.passed), ""),
                "how": verification.how,
                "why": verification.why,
                "seed": verification.seed,
                "reports": [report.to_json() for report in verification.reports],
                "smallest": [str(path) for _, path in cases],
            }
        )
    elif not quiet:
        _print(verification)
        for failing, path in cases:
            print_smallest(failing, path, bundle)
    _exit_unless_passed(verification.reports)


def _print(verification: Verification) -> None:
    for report in verification.reports:
        print_report(report)
    if verification.how == "replayed":
        print_notes([f"Replayed the stored cases: {verification.why}."])
    else:
        print_notes([f"Built the model again and drew fresh cases, seed {verification.seed}."])


def _exit_unless_passed(reports: Sequence[Report]) -> None:
    """What JSON there is has been printed, with the error in it, so that no exception may add another."""
    failure = next((report.failure for report in reports if not report.passed), "")
    if failure:
        print_error(failure)
        raise click.exceptions.Exit(1)


def _write(failing: FailingCase, bundle: Path) -> Path:
    """Beside the bundle, which must stay as it was written."""
    from ..failing_case import write_failing_case

    path = bundle.resolve().parent / f"{bundle.resolve().name}.{failing.artifact}.case.safetensors"
    write_failing_case(path, failing)
    return Path(os.path.relpath(path)) if path.is_relative_to(Path.cwd()) else path
