"""Verify a bundle again, from the bundle alone: read, open, build or replay, check, find the fault."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from .bundle.cases import read_cases
from .bundle.files import check_listed, read_bundle
from .bundle.manifest import CASES, FORMAT, WEIGHTS, Manifest, format_of
from .bundle.rebuild import Rebuilt, rebuild, why_not_rebuilt
from .errors import BundleError, InputError
from .parity.artifact import OpenArtifact, check_again, check_artifact, open_artifact, probe_artifact
from .parity.case_generator import CaseGenerator
from .parity.drawing import Drawing, Drawn, draw_for
from .parity.expected import Expected
from .parity.failing_case import FailingCase, read_failing_case
from .parity.fault import Fault, find_fault, run_again
from .parity.notebook import report_html
from .parity.probe import Prober
from .parity.reference import Oracle
from .parity.report import Overall, Report
from .parity.stored_cases import check_stored
from .parity.weights.model import ModelWeights, as_arrays, weights_of
from .pytorch.checkpoint import read_weights
from .pytorch.evaluation import evaluating
from .pytorch.first_run import Trial, sizes_to_try
from .pytorch.made_cases import CaseMaker, find_made_cases
from .pytorch.request import Progress, silent
from .pytorch.run import as_tensors
from .pytorch.samples import Case
from .runtimes.open import runs
from .runtimes.session import ProviderOptions
from .spec.signature import Signature
from .spec.streams import StreamSpec, multiply

Array = NDArray[np.generic]

# Bytes of a case's inputs and states, each number counted as eight.
_LARGEST = 2**33

_OWN_WORD = (
    "What PyTorch computes and how far off a file may be is then the bundle's own word, so that this shows that the "
    "file fits it, and no more"
)


@dataclass(frozen=True)
class Verification:
    """A report per artifact, and how they came about.

    "rebuilt": the model was built again and its stored weights loaded, and fresh random cases were tried.
    "replayed": the cases stored in the bundle were replayed; `why` says why no fresh ones could be made.
    `faults` has one for each report that failed, unless all of its cases pass when they are run again. `notes` say how
    cases were drawn where that is not as one may think.
    """

    reports: Sequence[Report]
    how: Literal["rebuilt", "replayed"]
    seed: int
    why: str = ""
    faults: Sequence[Fault] = ()
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"<Verification: {self.verdict}, {self.how}, {', '.join(map(repr, self.reports))}>"

    def _repr_html_(self) -> str:
        return "".join(map(report_html, self.reports))

    @property
    def passed(self) -> bool:
        """Whether every report passed."""
        return all(report.passed for report in self.reports)

    @property
    def failure(self) -> str:
        """What is wrong with the first report that did not pass; empty where all did."""
        return next((report.failure for report in self.reports if not report.passed), "")

    @property
    def verdict(self) -> Overall:
        """The verdict of the first report that did not pass."""
        return next((report.verdict for report in self.reports if not report.passed), "PASS")

    @property
    def caveat(self) -> str:
        """What a replay does not show; empty where the model was built again."""
        return _OWN_WORD if self.how == "replayed" else ""

    def to_json(self) -> dict[str, Any]:
        """The verification as plain data."""
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "error": self.failure,
            "how": self.how,
            "why": self.why,
            "notes": list(self.notes),
            "caveat": self.caveat,
            "seed": self.seed,
            "reports": [report.to_json() for report in self.reports],
            "faults": [fault.to_json() for fault in self.faults],
        }


def verify(
    bundle: str | Path,
    *,
    model: str | None = None,
    cases: CaseMaker | str | None = None,
    seed: int | None = None,
    long: Sequence[int] = (),
    runtime: str | None = None,
    provider_options: ProviderOptions | None = None,
    allow_fallback: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Run every artifact of a bundle against PyTorch, or against the stored cases.

    A built-in model, or a recurrent layer of `torch.nn`, is built again from what the manifest says, with the weights
    that lie in the bundle. A manifest may not name anything else to be run: for a model from a file, or from a factory
    function, give `model`, which says that you trust its code.

    Args:
        bundle: the folder.
        model: `file.py:Factory` or `package.module:Factory` to build the model with, instead of what the manifest says.
        cases: as for `export_onnx`: what makes the inputs of cases. The manifest names it where the export was given
            one, and its code is not run unless it is given here again.
        seed: for the fresh cases; None draws one, which the result holds.
        long: numbers of steps to try besides, one sequence each, where the model has a dimension T.
        runtime: where to run the artifacts that it takes, such as `onnxruntime:cuda`; None runs each in the runtime
            that the export verified it in.
        provider_options: what the execution provider is given.
        allow_fallback: whether nodes may run on another provider than that, as ONNX Runtime lets them.
        progress: called with a stage's name, and how much of it is done out of how much.

    Raises:
        BundleError: the folder is not a bundle, or a file is not as it was written, or would do more than compute.
        InterfaceError: a file's inputs, outputs or metadata are not what the manifest says.
        LoadError: the model cannot be built again.
        UnavailableError: the runtime is not there, or cannot run a file.
        PlacementError: the options are strict, and a node would run on the CPU.
        InputError: options of an execution provider are given without a runtime, or long cases without the model.
    """
    if runtime is None and (allow_fallback or provider_options is not None):
        raise InputError("Options of an execution provider need one. Give a runtime, such as onnxruntime:cuda.")
    folder = Path(bundle)
    progress("check", 0, 1)
    manifest = read_bundle(folder)
    opened = open_artifacts(folder, manifest, runtime, provider_options)
    made = find_made_cases(cases)
    why = why_not_rebuilt(folder, manifest, model, made)
    if why and long:
        raise InputError(f"Long cases need the model, and {why}. Leave out `long`.")
    if why:
        verification = _replay_stored(folder, manifest, opened, why, progress)
    else:
        seed = secrets.randbelow(2**31) if seed is None else seed
        rebuilt = rebuild(folder, manifest, model, made)
        verification = verify_fresh(manifest, opened, rebuilt, seed, long, progress)
        if verification.passed and CASES in manifest.files:
            _check_stored(folder, manifest, opened, rebuilt)
    reports = [replace(report, allow_fallback=allow_fallback) for report in verification.reports]
    return replace(verification, reports=reports)


def replay(
    bundle: str | Path,
    case: str | Path,
    *,
    runtime: str | None = None,
    provider_options: ProviderOptions | None = None,
) -> tuple[FailingCase, Report]:
    """Run one case again that an artifact of the bundle failed, from the file that `write_fault` wrote.

    Nodes may run on any execution provider: the question is whether the case fails.

    Raises:
        UnavailableError: the runtime is not there, or cannot run the file.
        BundleError: the folder is not a bundle, the file is not a case, or the case is of another model.
    """
    folder = Path(bundle)
    manifest = read_bundle(folder)
    failing = read_failing_case(Path(case))
    if failing.artifact not in manifest.artifacts or failing.weights_sha256 != manifest.weights_sha256:
        raise BundleError(
            f"{case} is a case of another {failing.artifact} than {folder} holds. Verify that bundle to find one of it."
        )
    alone = structs.replace(manifest, artifacts={failing.artifact: manifest.artifacts[failing.artifact]})
    opened = open_artifacts(folder, alone, runtime, provider_options)
    return failing, replace(run_again(opened[failing.artifact], failing), allow_fallback=True)


def open_artifacts(
    folder: Path, manifest: Manifest, runtime: str | None = None, provider_options: ProviderOptions | None = None
) -> dict[str, OpenArtifact]:
    """Load each model file of a bundle, once: in its own runtime, or in `runtime`, where that takes it.

    What a runtime cannot do is said here, before anything is computed.

    Raises:
        BundleError: the bundle holds no file that the runtime takes, or one that is damaged.
        InterfaceError: a file says something else than the manifest.
        UnavailableError, PlacementError: as for `verify`.
    """
    artifacts = {
        name: artifact if runtime is None else structs.replace(artifact, runtime=runtime)
        for name, artifact in manifest.artifacts.items()
        if runtime is None or runs(runtime, name)
    }
    if not artifacts:
        raise BundleError(f"{folder} holds no file that {runtime} takes. Export the model in that format too.")
    for name in artifacts:
        check_listed(folder, manifest, name)
    return {
        name: open_artifact(folder / name, artifact, manifest.signature, provider_options, described=manifest.outputs)
        for name, artifact in artifacts.items()
    }


def verify_fresh(
    manifest: Manifest,
    opened: Mapping[str, OpenArtifact],
    rebuilt: Rebuilt,
    seed: int,
    long: Sequence[int],
    progress: Progress,
) -> Verification:
    """Compare open files with the model, on cases drawn from the seed."""
    with evaluating(rebuilt.model):
        drawing, drawn = _fresh_cases(manifest, opened, rebuilt, seed, long, progress)
        expected = drawn.expected
        first = next((item for item in expected if item.reference is not None), expected[0])
        weights = weights_of(rebuilt.model, as_tensors(first.inputs))
        reports = _check_all(opened, dict.fromkeys(opened, expected), seed, weights, progress)
        reports = [
            check_again(each, report, rebuilt.model, drawing, expected[0].case.sizes, seed)
            for each, report in zip(opened.values(), reports, strict=True)
        ]
        generator = CaseGenerator.of(rebuilt.model, drawing, expected)
        prober = Prober.of(rebuilt.model, generator, first, seed)
        probed = [
            probe_artifact(each, report, expected, prober, partial(progress, "sizes"))
            for each, report in zip(opened.values(), reports, strict=True)
        ]
        reports = [report for report, _ in probed]
        tried = {name: [*expected, *items] for name, (_, items) in zip(opened, probed, strict=True)}
        faults = _find_faults(manifest, opened, reports, tried, generator, progress)
    return Verification(reports, "rebuilt", seed, faults=faults, notes=drawn.notes)


def _replay_stored(
    folder: Path, manifest: Manifest, opened: Mapping[str, OpenArtifact], why: str, progress: Progress
) -> Verification:
    """Compare open files with the outputs that the bundle stores."""
    if CASES not in manifest.files or not manifest.cases:
        raise BundleError(f"{folder} holds no cases to replay. Verify the bundle that it was made from.")
    expected = {name: read_cases(folder / CASES, manifest, name) for name in opened}
    weights = None
    if WEIGHTS in manifest.files:
        weights = ModelWeights(as_arrays(read_weights(folder / WEIGHTS)), {}, "the model was not built again")
    reports = _check_all(opened, expected, 0, weights, progress)
    faults = _find_faults(manifest, opened, reports, expected, None, progress)
    return Verification(reports, "replayed", 0, why, faults)


def _check_stored(folder: Path, manifest: Manifest, opened: Mapping[str, OpenArtifact], rebuilt: Rebuilt) -> None:
    """Check that the stored cases, which other programs rely on, are what the model computes.

    Raises:
        InterfaceError: they are not.
    """
    with evaluating(rebuilt.model):
        oracle = Oracle(rebuilt.model, manifest.signature)
        has_limits = format_of(folder) == FORMAT
        stored = [
            (read_cases(folder / CASES, manifest, name if has_limits else None), each.artifact.bound)
            for name, each in opened.items()
        ]
        check_stored(CASES, stored, oracle, manifest.signature)


def _fresh_cases(
    manifest: Manifest,
    opened: Mapping[str, OpenArtifact],
    rebuilt: Rebuilt,
    seed: int,
    long: Sequence[int],
    progress: Progress,
) -> tuple[Drawing, Drawn]:
    """How new cases are drawn, and new cases with what PyTorch computes for them."""
    signature, artifacts = manifest.signature, [each.artifact for each in opened.values()]
    bounds = {name: bound for artifact in artifacts for name, bound in artifact.bounds.items()}
    streams = [artifact.stream for artifact in artifacts]
    traced, least = sizes_to_try(Trial(rebuilt.model, signature, rebuilt.example, rebuilt.made, seed))
    drawing = draw_for(rebuilt.model, signature, traced, seed, rebuilt.example, rebuilt.made, least)
    cases = drawing.cases(streams, traced, seed, bounds, long)
    _check_sizes(cases, signature, streams)
    return drawing, drawing.expect(rebuilt.model, cases, lambda done: progress("reference", done, len(cases)))


def _check_sizes(cases: Sequence[Case], signature: Signature, streams: Sequence[StreamSpec | None]) -> None:
    """Refuse sizes of a manifest that would fill the memory.

    Raises:
        BundleError: the inputs of a case take more than `_LARGEST` bytes.
    """
    states = [state.shape for stream in streams if stream is not None for state in stream.states]
    for case in cases:
        inputs = sum(prod(spec.sized(case.sizes)) for spec in signature.inputs.values())
        carried = sum(prod(multiply(str(dim), case.sizes) for dim in shape) for shape in states)
        if (inputs + carried) * 8 > _LARGEST:
            sizes = ", ".join(f"{name}={size}" for name, size in case.sizes.items()) or "fixed sizes"
            raise BundleError(
                f"The manifest's inputs would take {(inputs + carried) * 8 / 2**30:,.0f} GB at {sizes}, which is not "
                "tried. Export a model of smaller inputs."
            )


def _check_all(
    opened: Mapping[str, OpenArtifact],
    expected: Mapping[str, Sequence[Expected]],
    seed: int,
    weights: ModelWeights | None,
    progress: Progress,
) -> list[Report]:
    return [
        check_artifact(
            each,
            expected[name],
            traced=expected[name][0].case.sizes,
            seed=seed,
            weights=weights,
            advance=partial(_verified, progress, len(expected[name])),
        )
        for name, each in opened.items()
    ]


def _verified(progress: Progress, total: int, done: int) -> None:
    progress("verify", done, total)


def _find_faults(
    manifest: Manifest,
    opened: Mapping[str, OpenArtifact],
    reports: Sequence[Report],
    expected: Mapping[str, Sequence[Expected]],
    generator: CaseGenerator | None,
    progress: Progress,
) -> list[Fault]:
    failed = [report for report in reports if not report.right]
    if failed:
        progress("shrink", 0, 1)
    found = (
        find_fault(opened[report.artifact], report, expected[report.artifact], generator, manifest.weights_sha256)
        for report in failed
    )
    return [fault for fault in found if fault is not None]
