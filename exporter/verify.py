"""Verifying a bundle again, from the bundle alone."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from torch import nn

from .assembly import WEIGHTS
from .bundle import read_bundle
from .checkpoint import load_weights, read_weights
from .errors import BundleError
from .evaluation import evaluating
from .loading import load_with, may_be_named
from .manifest import Manifest
from .parity import Expected, Report, expect, traced_sizes
from .parity.compare import Typical
from .parity.weights.tensors import as_arrays, model_weights
from .preparation import Progress, silent
from .proof import cases_for, prove
from .signature import Signature
from .stored_cases import FILE as CASES
from .stored_cases import read_cases

Array = NDArray[Any]


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
    bundle: str | Path, *, model: str | None = None, seed: int | None = None, progress: Progress = silent
) -> Verification:
    """Run every artifact of a bundle against PyTorch, or against the stored cases.

    A built-in model, or an installed `nn.Module` class, is built again from what the manifest says, with the weights
    that lie in the bundle. A manifest may not name anything else to be run: for a model from a file, or from a factory
    function, give `model`, which says that you trust its code.

    Args:
        bundle: the folder.
        model: `file.py:Factory` or `package.module:Factory` to build the model with, instead of what the manifest says.
        seed: for the fresh cases; None draws one, which the result holds.
        progress: called with a stage's name, and how much of it is done out of how much.

    Raises:
        BundleError: the folder is not a bundle, or a file is not as it was written.
        LoadError: the model cannot be built again.
    """
    folder = Path(bundle)
    progress("check", 0, 1)
    manifest = read_bundle(folder)
    why = _not_rebuildable(folder, manifest, model)
    if why:
        expected = read_cases(folder / CASES, manifest)
        typical = {output: Typical(**values) for output, values in manifest.typical.items()}
        stored = as_arrays(read_weights(folder / WEIGHTS)) if WEIGHTS in manifest.files else None
        reports = _check_all(folder, manifest, expected, 0, stored, typical, progress)
        return Verification(reports, "replayed", 0, why)
    seed = secrets.randbelow(2**31) if seed is None else seed
    expected, weights = _fresh(folder, manifest, model, seed, progress)
    reports = _check_all(folder, manifest, expected, seed, weights, None, progress)
    return Verification(reports, "rebuilt", seed)


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


def _fresh(
    folder: Path, manifest: Manifest, model: str | None, seed: int, progress: Progress
) -> tuple[list[Expected], Mapping[str, Array]]:
    """What the model computes for fresh cases, and its weights."""
    built = _rebuild(folder, manifest, model)
    signature = manifest.signature
    example = read_cases(folder / CASES, manifest)[0].inputs if manifest.from_example else None
    with evaluating(built):
        bounds = {name: bound for artifact in manifest.artifacts.values() for name, bound in artifact.bounds.items()}
        streams = [artifact.stream for artifact in manifest.artifacts.values()]
        cases = cases_for(streams, signature, traced_sizes(signature, example), seed, bounds)
        advance = _advance(progress, "reference", len(cases))
        return expect(built, signature, cases, example, advance=advance), model_weights(built)


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
    weights: Mapping[str, Array] | None,
    typical: Mapping[str, Typical] | None,
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
            weights=weights,
            typical=typical,
            advance=_advance(progress, "verify", len(expected)),
        )
        reports.append(report)
    return reports


def _advance(progress: Progress, stage: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(stage, done, total)
