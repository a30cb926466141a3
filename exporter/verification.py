"""Verifying a bundle again, from the bundle alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .bundle.cases import read_cases
from .bundle.files import read_bundle
from .bundle.manifest import CASES, WEIGHTS, Manifest
from .errors import BundleError, InputError, first_line
from .parity.artifact import check_artifact
from .parity.cases import cases_for, long_cases
from .parity.compare import Baseline, read_typical
from .parity.expected import Expected, baselines, expect
from .parity.failing_case import FailingCase, read_failing_case
from .parity.isolate import CaseGenerator, find_layers, isolate, run_again
from .parity.locate import LayerValue, describe_first
from .parity.report import Report
from .parity.weights.computed import weights_of
from .parity.weights.tensors import ModelWeights, as_arrays
from .pytorch.checkpoint import load_weights, read_weights
from .pytorch.evaluation import evaluating
from .pytorch.half import in_float16
from .pytorch.job import Progress, silent
from .pytorch.load import load_with, may_be_named
from .pytorch.run import as_tensors
from .pytorch.samples import traced_sizes
from .runtimes.open import open_session, runs
from .runtimes.session import ProviderOptions
from .spec.forms import unrolls
from .spec.signature import Signature

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Fault:
    """The smallest case found that an artifact fails, and each recurrent layer in it, or why there is none (`why`)."""

    failing: FailingCase
    layers: Sequence[LayerValue] = ()
    why: str = ""

    @property
    def where(self) -> str:
        """One sentence about the first layer that is wrong."""
        return f"Layers could not be compared: {self.why}." if self.why else describe_first(self.layers)


@dataclass(frozen=True)
class Verification:
    """A report per artifact, and how they came about.

    "rebuilt": the model was built again and its stored weights loaded, and fresh random cases were tried.
    "replayed": the cases stored in the bundle were replayed; `why` says why no fresh ones could be made.
    `faults` has one for each report that failed, unless all of its cases pass when they are run again.
    """

    reports: Sequence[Report]
    how: Literal["rebuilt", "replayed"]
    seed: int
    why: str = ""
    faults: Sequence[Fault] = ()

    @property
    def passed(self) -> bool:
        return all(report.passed for report in self.reports)


def verify(
    bundle: str | Path,
    *,
    model: str | None = None,
    seed: int | None = None,
    long: Sequence[int] = (),
    runtime: str | None = None,
    provider_options: ProviderOptions | None = None,
    allow_fallback: bool = False,
    progress: Progress = silent,
) -> Verification:
    """Run every artifact of a bundle against PyTorch, or against the stored cases.

    A built-in model, or an installed `nn.Module` class, is built again from what the manifest says, with the weights
    that lie in the bundle. A manifest may not name anything else to be run: for a model from a file, or from a factory
    function, give `model`, which says that you trust its code.

    Args:
        bundle: the folder.
        model: `file.py:Factory` or `package.module:Factory` to build the model with, instead of what the manifest says.
        seed: for the fresh cases; None draws one, which the result holds.
        long: so many steps are tried besides, one sequence each, where the model has a dimension T.
        runtime: where to run the artifacts that it takes, such as `onnxruntime:cuda`; None runs each in the runtime
            that the export proved it in.
        provider_options: how to start the execution provider.
        allow_fallback: whether nodes may run on another provider than that, as ONNX Runtime lets them.
        progress: called with a stage's name, and how much of it is done out of how much.

    Raises:
        BundleError: the folder is not a bundle, or a file is not as it was written.
        LoadError: the model cannot be built again.
        UnavailableError: the runtime is not there, or cannot run a file.
        PlacementError: the options are strict, and a node would run on the CPU.
        InputError: something is said of an execution provider, and no runtime is given.
    """
    folder = Path(bundle)
    progress("check", 0, 1)
    if runtime is None and (allow_fallback or provider_options is not None):
        raise InputError("What is said of an execution provider needs one. Give a runtime, such as onnxruntime:cuda.")
    manifest = read_bundle(folder)
    if runtime is not None:
        manifest = _in_runtime(runtime, provider_options, folder, manifest)
    why = _not_rebuildable(folder, manifest, model)
    if why and long:
        raise InputError(f"Long cases need the model, and {why}. Leave out --long.")
    if why:
        expected = read_cases(folder / CASES, manifest) if CASES in manifest.files else []
        typical = read_typical(manifest.typical)
        stored = _stored(folder) if WEIGHTS in manifest.files else None
        reports = _check_all(folder, manifest, expected, 0, stored, typical, provider_options, allow_fallback, progress)
        faults = _faults(folder, manifest, reports, expected, typical, None, provider_options, progress)
        return Verification(reports, "replayed", 0, why, faults)
    seed = secrets.randbelow(2**31) if seed is None else seed
    built, example = rebuild(folder, manifest, model)
    with evaluating(built):
        expected = _fresh(built, manifest, example, seed, long, progress)
        typical = baselines(expected)
        weights = weights_of(built, as_tensors(_first_run(expected).inputs))
        reports = _check_all(
            folder, manifest, expected, seed, weights, typical, provider_options, allow_fallback, progress
        )
        drawing = partial(CaseGenerator.of, built, manifest.signature, example)
        faults = _faults(folder, manifest, reports, expected, typical, drawing, provider_options, progress)
    return Verification(reports, "rebuilt", seed, faults=faults)


def replay(
    bundle: str | Path, case: str | Path, *, runtime: str | None = None, provider_options: ProviderOptions | None = None
) -> tuple[FailingCase, Report]:
    """Run one case again that an artifact of the bundle failed, from the file that `write_failing_case` wrote.

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
    if runtime is not None:
        manifest = _in_runtime(runtime, provider_options, folder, manifest)
    return failing, replace(run_again(folder, manifest, failing, provider_options), allow_fallback=True)


def _stored(folder: Path) -> ModelWeights:
    """The weights in a bundle whose model is not built again."""
    return ModelWeights(as_arrays(read_weights(folder / WEIGHTS)), {}, "the model was not built again")


def _in_runtime(runtime: str, provider_options: ProviderOptions | None, folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with those artifacts alone that the runtime takes, to be run in it.

    Every file is opened once, so that what the runtime cannot do is said before the reference is computed.
    """
    artifacts = {
        name: replace(artifact, runtime=runtime) for name, artifact in manifest.artifacts.items() if runs(runtime, name)
    }
    if not artifacts:
        raise BundleError(f"{folder} holds no file that {runtime} takes. Export the model in that format too.")
    for name in artifacts:
        open_session(runtime, folder / name, manifest.signature.outputs, provider_options)
    return replace(manifest, artifacts=artifacts)


def _not_rebuildable(folder: Path, manifest: Manifest, model: str | None) -> str:
    """Why fresh cases cannot be made; empty where they can."""
    source = manifest.source
    if WEIGHTS not in manifest.files:
        given = "the model was given as an object, and the bundle does not say how to build it"
        return given if source is None else "the bundle does not hold the model's weights"
    if manifest.from_example and CASES not in manifest.files:
        return "the bundle does not hold the example that cases are cut from"
    if model is not None:
        return ""
    if source is None:
        return "the bundle does not say how to build the model; --model does"
    # What the manifest calls the model's kind is its own word, which proves nothing.
    if may_be_named(source["model"]):
        return ""
    return f"building {source['model']} would run its code; --model {source['model']} allows it"


def _fresh(
    built: nn.Module,
    manifest: Manifest,
    example: Mapping[str, Array] | None,
    seed: int,
    long: Sequence[int],
    progress: Progress,
) -> list[Expected]:
    signature = manifest.signature
    bounds = {name: bound for artifact in manifest.artifacts.values() for name, bound in artifact.bounds.items()}
    streams = [artifact.stream for artifact in manifest.artifacts.values()]
    cases = [
        *cases_for(streams, signature, traced_sizes(signature, example), seed, bounds),
        *long_cases(signature, long, seed),
    ]
    return expect(built, signature, cases, example, advance=lambda done: progress("reference", done, len(cases)))


def _faults(
    folder: Path,
    manifest: Manifest,
    reports: Sequence[Report],
    expected: Sequence[Expected],
    typical: Mapping[str, Baseline],
    drawing: Callable[[], CaseGenerator] | None,
    provider_options: ProviderOptions | None,
    progress: Progress,
) -> list[Fault]:
    failed = [report for report in reports if not report.right]
    if not failed:
        return []
    progress("shrink", 0, 1)
    drawn = None if drawing is None else drawing()
    found = [isolate(folder, manifest, report, expected, typical, drawn, provider_options) for report in failed]
    return [_fault(folder, manifest, failing, drawn, provider_options) for failing in found if failing is not None]


def _fault(
    folder: Path,
    manifest: Manifest,
    failing: FailingCase,
    drawing: CaseGenerator | None,
    provider_options: ProviderOptions | None,
) -> Fault:
    artifact = manifest.artifacts[failing.artifact]
    if drawing is None:
        return Fault(failing, why="the model was not built again")
    if artifact.opset is None:
        return Fault(failing, why="a TorchScript file is frozen into one graph")
    if artifact.bound:
        return Fault(failing, why="int8 weights move every layer a little")
    is_step = artifact.stream is not None and failing.item.case.sizes.get(artifact.stream.time) == 1
    if is_step and artifact.lowering is not None and unrolls(artifact.lowering.forms):
        return Fault(failing, why="the smallest case runs the graph for one step, which has no layers of its own")
    try:
        return Fault(failing, find_layers(folder, manifest, failing, drawing.oracle, provider_options))
    except Exception as error:  # a runtime raises classes of its own, and may not run the case at all
        return Fault(failing, why=f"{type(error).__name__}, {first_line(error)}")


def rebuild(folder: Path, manifest: Manifest, model: str | None) -> tuple[nn.Module, Mapping[str, Array] | None]:
    """The model of a bundle with its stored weights, and the example that cases are cut from, if they are.

    Raises:
        LoadError: the model cannot be built again.
    """
    source = manifest.source or {"model": model, "arguments": {}, "seed": 0}
    signature: Signature = manifest.signature
    loaded = load_with(
        model or source["model"],
        source["arguments"],
        inputs=signature.inputs,
        outputs=signature.outputs,
        seed=source["seed"],
    )
    built = in_float16(loaded.model) if source.get("precision") == "float16" else loaded.model
    load_weights(built, folder / WEIGHTS)
    example = read_cases(folder / CASES, manifest)[0].inputs if manifest.from_example else None
    return built, example


def _first_run(expected: Sequence[Expected]) -> Expected:
    """The first case that PyTorch runs."""
    return next((item for item in expected if item.reference is not None), expected[0])


def _check_all(
    folder: Path,
    manifest: Manifest,
    expected: Sequence[Expected],
    seed: int,
    weights: ModelWeights | None,
    typical: Mapping[str, Baseline],
    provider_options: ProviderOptions | None,
    allow_fallback: bool,
    progress: Progress,
) -> list[Report]:
    if not expected:
        raise BundleError(f"{folder} holds no cases to replay. Verify the bundle that it was made from.")
    reports = []
    for name, artifact in manifest.artifacts.items():
        report = check_artifact(
            folder / name,
            artifact,
            manifest.signature,
            expected,
            traced=expected[0].case.sizes,
            seed=seed,
            weights=weights,
            typical=typical,
            provider_options=provider_options,
            advance=lambda done: progress("verify", done, len(expected)),
        )
        reports.append(replace(report, allow_fallback=allow_fallback))
    return reports
