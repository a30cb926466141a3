"""Verifying a bundle again, from the bundle alone."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import nn

from .assembly import WEIGHTS
from .bundle import read_bundle
from .checkpoint import load_weights
from .errors import BundleError, InputError
from .evaluation import evaluating
from .loading import load_with, may_be_named
from .manifest import Manifest
from .parity import Expected, Report, expect, traced_sizes
from .parity.compare import Typical
from .preparation import Progress, silent
from .proof import Where, cases_for, prove
from .runtimes import Launch, open_session, runs
from .signature import Signature
from .stored_cases import FILE as CASES
from .stored_cases import read_cases


@dataclass(frozen=True)
class Verification:
    """A report per artifact, and how they came about.

    "rebuilt": the model was built again and its stored weights loaded, and fresh random cases were tried.
    "replayed": the cases stored in the bundle were replayed; `why` says why no fresh ones could be made.
    """

    reports: Sequence[Report]
    how: Literal["rebuilt", "replayed"]
    seed: int
    why: str = ""

    @property
    def passed(self) -> bool:
        return all(report.passed for report in self.reports)


def verify(
    bundle: str | Path,
    *,
    model: str | None = None,
    seed: int | None = None,
    runtime: str | None = None,
    launch: Launch | None = None,
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
        runtime: where to run the artifacts that it takes, such as `onnxruntime:cuda`; None runs each in the runtime
            that the export proved it in.
        launch: what the execution provider is given.
        allow_fallback: whether nodes may run on another provider than that, as ONNX Runtime lets them.
        progress: called with a stage's name, and how much of it is done out of how much.

    Raises:
        BundleError: the folder is not a bundle, or a file is not as it was written.
        LoadError: the model cannot be built again.
        UnavailableError: the runtime is not there, or cannot run a file.
        PlacementError: the launch is strict, and a node would run on the CPU.
        InputError: a launch is given, and no runtime.
    """
    folder = Path(bundle)
    progress("check", 0, 1)
    if runtime is None and (allow_fallback or launch is not None):
        raise InputError("What is said of an execution provider needs one. Give a runtime, such as onnxruntime:cuda.")
    where = Where(runtime, launch or Launch(), allow_fallback) if runtime is not None else None
    manifest = _only(where, folder, read_bundle(folder))
    if where is not None:
        _try(where, folder, manifest)
    why = _not_rebuildable(folder, manifest, model)
    if why:
        expected = read_cases(folder / CASES, manifest)
        typical = {output: Typical(**values) for output, values in manifest.typical.items()}
        reports = _check_all(folder, manifest, expected, 0, typical, where, progress)
        return Verification(reports, "replayed", 0, why)
    seed = secrets.randbelow(2**31) if seed is None else seed
    expected = _fresh(folder, manifest, model, seed, progress)
    reports = _check_all(folder, manifest, expected, seed, None, where, progress)
    return Verification(reports, "rebuilt", seed)


def _only(where: Where | None, folder: Path, manifest: Manifest) -> Manifest:
    """The manifest with those artifacts alone that the runtime takes."""
    if where is None:
        return manifest
    artifacts = {name: artifact for name, artifact in manifest.artifacts.items() if runs(where.runtime, name)}
    if not artifacts:
        raise BundleError(f"{folder} holds no file that {where.runtime} takes. Export the model in that format too.")
    return replace(manifest, artifacts=artifacts)


def _try(where: Where, folder: Path, manifest: Manifest) -> None:
    """Open every file once, so that what the runtime cannot do is said before the reference is computed."""
    for name in manifest.artifacts:
        open_session(where.runtime, folder / name, manifest.signature.outputs, where.launch)


def _not_rebuildable(folder: Path, manifest: Manifest, model: str | None) -> str:
    """Why fresh cases cannot be made; empty where they can."""
    if WEIGHTS not in manifest.files:
        return "the model was given as an object, and the bundle does not say how to build it"
    source = manifest.source
    if model is not None:
        return ""
    if source is None:
        return "the bundle does not say how to build the model; --model does"
    # What the manifest calls the model's kind is its own word, which proves nothing.
    if may_be_named(source["model"]):
        return ""
    return f"building {source['model']} would run its code; --model {source['model']} allows it"


def _fresh(folder: Path, manifest: Manifest, model: str | None, seed: int, progress: Progress) -> list[Expected]:
    built = _rebuild(folder, manifest, model)
    signature = manifest.signature
    example = read_cases(folder / CASES, manifest)[0].inputs if manifest.from_example else None
    with evaluating(built):
        bounds = {name: bound for artifact in manifest.artifacts.values() for name, bound in artifact.bounds.items()}
        streams = [artifact.stream for artifact in manifest.artifacts.values()]
        cases = cases_for(streams, signature, traced_sizes(signature, example), seed, bounds)
        return expect(built, signature, cases, example, advance=lambda done: progress("reference", done, len(cases)))


def _rebuild(folder: Path, manifest: Manifest, model: str | None) -> nn.Module:
    source = manifest.source or {"model": model, "arguments": {}, "seed": 0}
    signature: Signature = manifest.signature
    loaded = load_with(
        model or source["model"],
        source["arguments"],
        inputs=signature.inputs,
        outputs=signature.outputs,
        seed=source["seed"],
    )
    load_weights(loaded.model, folder / WEIGHTS)
    return loaded.model


def _check_all(
    folder: Path,
    manifest: Manifest,
    expected: Sequence[Expected],
    seed: int,
    typical: Mapping[str, Typical] | None,
    where: Where | None,
    progress: Progress,
) -> list[Report]:
    if not expected:
        raise BundleError(f"{folder} holds no cases to replay. Export the model again.")
    reports = []
    for name, artifact in manifest.artifacts.items():
        report = prove(
            folder / name,
            artifact,
            manifest.signature,
            expected,
            traced=expected[0].case.sizes,
            seed=seed,
            typical=typical,
            where=where,
            advance=lambda done: progress("verify", done, len(expected)),
        )
        reports.append(report)
    return reports
