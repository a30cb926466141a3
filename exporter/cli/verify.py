"""`rnn-export verify`."""

from __future__ import annotations

from pathlib import Path

import click

from .options import output_options, parse_option
from .show import print_json, print_notes, print_placement, print_report, progress


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
    "--runtime",
    metavar="RUNTIME",
    help="Where to run it: onnxruntime:cpu, onnxruntime:cuda or another execution provider, or torchscript; "
    "`rnn-export doctor` lists them.  [default: where the export proved it]",
)
@click.option("--allow-fallback", is_flag=True, help="Accept nodes on another execution provider than the runtime's.")
@click.option("--strict", is_flag=True, help="Have ONNX Runtime refuse to put any node at all on the CPU.")
@click.option(
    "--provider-option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="For the execution provider, such as use_tf32=1. Repeatable.",
)
@click.option(
    "--provider-library", type=click.Path(path_type=Path), help="A plug-in of ONNX Runtime that holds the provider."
)
@output_options
def verify(
    bundle: Path,
    model: str | None,
    seed: int | None,
    runtime: str | None,
    allow_fallback: bool,
    strict: bool,
    options: tuple[str, ...],
    provider_library: Path | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Verify a BUNDLE again, from the bundle alone.

    A built-in model or an installed class is built again with the weights in the bundle and tried on fresh random
    cases. For any other the stored cases are replayed, unless --model says what code to run.

    With --runtime it is shown which nodes ran on which execution provider, and nodes that ran on another are a failure.
    """
    with progress(quiet or as_json) as advance:
        from ..errors import InputError, ParityError, PlacementError
        from ..runtimes import Launch
        from ..verify import verify as verify_bundle

        if strict and allow_fallback:
            raise InputError("--strict forbids what --allow-fallback accepts. Leave one of them out.")
        launch = Launch(dict(map(parse_option, options)), provider_library, strict)
        verification = verify_bundle(
            bundle,
            model=model,
            seed=seed,
            runtime=runtime,
            launch=None if launch.plain else launch,
            allow_fallback=allow_fallback,
            progress=advance,
        )
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
            if runtime is not None:
                print_placement(report)
        if verification.how == "replayed":
            print_notes([f"Replayed the stored cases: {verification.why}."])
        else:
            print_notes([f"Built the model again and drew fresh cases, seed {verification.seed}."])
    failed = next((report for report in verification.reports if not report.passed), None)
    if failed is not None:
        raise (PlacementError if failed.right else ParityError)(failed.failure, failed)
