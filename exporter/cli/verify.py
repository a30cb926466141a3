"""`rnn-export verify`."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .case_table import print_case_table
from .command import SectionedCommand
from .console import (
    exit_unless_passed,
    make_table,
    open_console,
    print_error,
    print_json,
    print_line,
    print_notes,
    progress,
    styled,
)
from .options import output_options, parse_option
from .placement_table import print_placement
from .summary import print_report
from .wording import in_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..parity.failing_case import FailingCase
    from ..parity.fault import Fault
    from ..parity.report import CaseResult, Report
    from ..runtimes.session import ProviderOptions
    from ..verification import Verification


_LONG = (1_000, 10_000)
# Inputs of up to this many numbers are printed.
_SHOWN = 24


@click.command(cls=SectionedCommand, short_help="Verify a bundle again, here or on another runtime.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--model",
    metavar="MODEL",
    help="Build the model from this code, file.py:Factory or package.module:Factory, which says that you trust it; or "
    "from TorchScript, model.pt.",
)
@click.option(
    "--make-cases",
    "cases",
    metavar="MAKE",
    help="Make the inputs of cases with this function, as in the export: file.py:make or package.module:make.",
)
@click.option("--cases", "table", is_flag=True, help="Show a row for every case, with its error and its limit.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="SEED",
    help="For the fresh test cases.  [default: drawn, and printed]",
)
@click.option(
    "--runtime",
    metavar="RUNTIME",
    help="Where to run it: onnxruntime:cpu, onnxruntime:cuda or another execution provider, torchscript, "
    "openvino, tract or onnx.reference, which `rnn-export doctor` lists, or program:PATH, a program of your own.  "
    "[default: where the export verified it]",
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
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SPEC",
    help="For a file: what an input takes, 'x: float32[N, T, 161] in 0..1', in place of what it declares. Repeatable.",
)
@click.option(
    "--example",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="For a file: real inputs by name, .npz or .safetensors, that cases are cut from.",
)
@click.option("--long", is_flag=True, help="Try sequences of 1,000 and 10,000 steps too, where errors may grow.")
@click.option(
    "--case",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run this one case again, which an earlier verification wrote when it failed.",
)
@click.option(
    "--bisect",
    is_flag=True,
    help="Where an artifact fails, keep what every recurrent layer computes in it, in PyTorch and in float64.",
)
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write every case as JUnit XML too.")
@output_options
def verify(
    bundle: Path,
    model: str | None,
    cases: str | None,
    table: bool,
    seed: int | None,
    runtime: str | None,
    allow_fallback: bool,
    strict: bool,
    options: tuple[str, ...],
    provider_library: Path | None,
    inputs: tuple[str, ...],
    example: Path | None,
    long: bool,
    case: Path | None,
    bisect: bool,
    junit: Path | None,
    as_json: bool,
    quiet: bool,
    debug: bool,
) -> None:
    """Verify a BUNDLE again, from the bundle alone.

    A built-in model or a recurrent layer of torch.nn is built again with the weights in the bundle and tried on fresh
    random cases. For any other the stored cases are replayed, unless --model says what code to run. When an artifact
    fails, the smallest case that shows it is written beside the bundle, and the first layer and time step that differ
    are named.

    BUNDLE may also be an ONNX file that others made. Then --runtime is compared with ONNX Runtime on the CPU, on random
    inputs of the shapes that the file declares: whether the two agree, not whether either is what PyTorch computes.

    With --runtime it is shown which nodes ran on which execution provider, and nodes that ran on another are a failure.
    """
    if strict and allow_fallback:
        raise click.UsageError("--strict forbids what --allow-fallback accepts. Leave one of them out.")
    shown = _Shown(table, as_json, quiet, junit)
    given = _Runtime(runtime, _provider_options(options, provider_library, strict), allow_fallback)
    if bundle.suffix == ".onnx" and bundle.is_file():
        if model is not None or cases is not None or case is not None or long or bisect or junit is not None:
            raise click.UsageError(
                "A file without its bundle is compared in two runtimes alone. Leave out --model, --make-cases, --case, "
                "--long, --bisect and --junit."
            )
        _compare(bundle, inputs, example, seed or 0, given, shown)
        return
    if inputs or example is not None:
        raise click.UsageError("--input and --example are for an ONNX file without its bundle. Leave them out.")
    if case is not None:
        if model is not None or cases is not None or seed is not None or long or bisect:
            raise click.UsageError(
                "--case runs one case as it is stored. Leave out --model, --make-cases, --seed, --long and --bisect."
            )
        _replay(bundle, case, given, shown)
    else:
        _verify(bundle, model, cases, seed, given, _LONG if long else (), bisect, shown)


@dataclass(frozen=True)
class _Runtime:
    """Where to run, as given: the runtime, what its execution provider is given, whether another may help."""

    name: str | None
    provider_options: ProviderOptions | None
    allow_fallback: bool


@dataclass(frozen=True)
class _Shown:
    """What is printed of the results, and where JUnit's XML goes."""

    table: bool
    as_json: bool
    quiet: bool
    junit: Path | None


def _provider_options(options: Sequence[str], library: Path | None, strict: bool) -> ProviderOptions | None:
    from ..runtimes.session import ProviderOptions

    given = ProviderOptions(dict(map(parse_option, options)), library, strict)
    return None if given.plain else given


def _compare(
    path: Path, inputs: Sequence[str], example: Path | None, seed: int, given: _Runtime, shown: _Shown
) -> None:
    from ..parity.other_runtime import agreement, compare_runtimes, read_arrays

    with progress(shown.quiet or shown.as_json) as advance:
        report = compare_runtimes(
            path,
            given.name,
            inputs=dict(map(_named, inputs)),
            example=None if example is None else read_arrays(example),
            seed=seed,
            provider_options=given.provider_options,
            advance=lambda done, total: advance("reference", done, total),
        )
    report = replace(report, allow_fallback=given.allow_fallback)
    if shown.as_json:
        print_json({"passed": report.passed, "compared_with": "onnxruntime:cpu", "reports": [report.to_json()]})
    elif not shown.quiet:
        headline, *rest = agreement(report)
        print_line((headline, "bold green" if report.passed else "bold red"), ".")
        print_line(" ".join(rest))
        if rows := [each for each in report.cases if shown.table or each.verdict == "FAIL"]:
            print_case_table(rows if shown.table else rows[:5], report.traced)
        print_notes([f"{note}." for note in dict.fromkeys(each.note for each in report.cases if each.note)])
    exit_unless_passed(report)


def _named(text: str) -> tuple[str, str]:
    """An input's name and what it takes; a name may have colons in it, what it takes has none."""
    name, colon, spec = text.rpartition(":")
    if not colon:
        raise click.UsageError(f"'{text}' does not name its input. Write it like 'x: float32[N, T, 161]'.")
    return name.strip(), spec.strip()


def _replay(bundle: Path, case: Path, given: _Runtime, shown: _Shown) -> None:
    from ..verification import replay

    with _errors_in(shown.junit):
        failing, report = replay(bundle, case, runtime=given.name, provider_options=given.provider_options)
    _write_junit(shown.junit, [report])
    if shown.as_json:
        verdict = {"passed": report.passed, "verdict": report.verdict}
        print_json({**verdict, "error": in_options(report.failure), "reports": [report.to_json()]})
    elif not shown.quiet:
        print_case(failing, report.cases[0])
    exit_unless_passed(report)


def _verify(
    bundle: Path,
    model: str | None,
    cases: str | None,
    seed: int | None,
    given: _Runtime,
    long: Sequence[int],
    bisect: bool,
    shown: _Shown,
) -> None:
    with progress(shown.quiet or shown.as_json) as advance, _errors_in(shown.junit):
        from ..verification import verify as verify_bundle

        verification = verify_bundle(
            bundle,
            model=model,
            cases=cases,
            seed=seed,
            long=long,
            runtime=given.name,
            provider_options=given.provider_options,
            allow_fallback=given.allow_fallback,
            progress=advance,
        )
    _write_junit(shown.junit, verification.reports)
    written = [(fault, _write(fault, bundle, bisect)) for fault in verification.faults]
    if shown.as_json:
        print_json(
            {
                **verification.to_json(),
                "error": in_options(verification.failure),
                "faults": [fault.to_json(files) for fault, files in written],
            }
        )
    elif not shown.quiet:
        _print(verification, shown.table, given.name is not None)
        for fault, files in written:
            print_fault(fault, files, bundle, given.name)
    exit_unless_passed(verification)


@contextmanager
def _errors_in(junit: Path | None) -> Iterator[None]:
    """Have the JUnit file say why nothing was verified."""
    from ..errors import InputError, RnnExportError

    try:
        yield
    except RnnExportError as error:
        if junit is not None:
            from ..publish.junit import write_junit_error

            try:
                write_junit_error(junit, error)
            except InputError as unwritable:  # what could not be verified is the worse news
                print_error(str(unwritable), "Note")
        raise


def _write_junit(path: Path | None, reports: Sequence[Report]) -> None:
    if path is not None:
        from ..publish.junit import write_junit

        write_junit(path, reports)


def _write(fault: Fault, bundle: Path, bisect: bool) -> list[Path]:
    from ..parity.fault import write_fault

    try:
        return write_fault(fault, bundle, layers=bisect)
    except OSError as error:
        print_error(f"{error.filename} cannot be written ({error.strerror}), so that the case is not kept.", "Note")
        return []


def _print(verification: Verification, table: bool, placement: bool) -> None:
    for report in verification.reports:
        print_report(report, table=table)
        if placement:
            print_placement(report)
    print_notes(verification.notes)
    if verification.how == "replayed":
        print_notes([f"Replayed the stored cases: {verification.why}. {verification.caveat}."])
    else:
        print_notes([f"Built the model again and drew fresh cases, seed {verification.seed}."])


def print_fault(fault: Fault, files: Sequence[Path], bundle: Path, runtime: str | None) -> None:
    """Where the fault is, which case is the smallest that shows it, and the command that runs it again."""
    failing = fault.failing
    smallest = f"The smallest case of {failing.artifact} that fails: {failing.description}."
    if not files:
        print_notes([fault.where, smallest])
        return
    print_notes([fault.where, f"{smallest} To run it again:"])
    where = f" --runtime {shlex.quote(runtime)}" if runtime else ""
    command = f"rnn-export verify {shlex.quote(str(bundle))} --case {shlex.quote(str(files[0]))}{where}"
    print_line(f"    {command}", whole=True)
    for file in files[1:]:
        print_notes([f"What every layer computes in it is in {file}."])


def print_case(failing: FailingCase, result: CaseResult) -> None:
    """One case: what went in where that is little, and each output where it is furthest off."""
    console = open_console()
    print_line("")
    print_line((failing.artifact, "bold"), f", {failing.description}")
    for name, array in failing.item.inputs.items():
        if array.size <= _SHOWN:
            print_line(f"{name} = {array.tolist()}")
    table = make_table("Output", "Error", "Limit", "Verdict", "", right=[1, 2])
    for output in result.outputs:
        verdict = "PASS" if output.passed else "FAIL"
        place = f"at {list(output.index)}: " if output.index else ""
        what = f"{place}{output.reason or output.excused}" if not output.passed or output.excused else ""
        table.add_row(output.output, f"{output.error:.1e}", f"{output.limit:.1e}", styled(verdict), what)
    console.print(table)
    if result.note:
        print_notes([f"{result.note}."])
