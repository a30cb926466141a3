"""From an exported model file to a whole bundle: proof, weights, cases, and what an older bundle may leave behind."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnx
import onnxruntime
import safetensors.torch
import torch
from msgspec.structs import asdict, replace
from torch import Tensor

from .. import __version__
from ..errors import BundleError, ParityError
from ..parity.artifact import check_artifact, open_whole
from ..parity.cases import cases_for
from ..parity.expected import Expected, baselines, expect
from ..parity.precision_cost import check_cost, with_measured_error
from ..parity.report import Report
from ..parity.weights.computed import weights_of
from ..pytorch.job import ExportJob
from ..spec.artifact import Artifact, FileEntry
from ..spec.signature import Signature
from ..spec.source import Source
from ..spec.streams import cannot_stream
from .cases import choose_cases, with_limits, write_cases
from .files import complete, hash_file, read_bundle
from .manifest import CASES, MANIFEST, WEIGHTS, Manifest
from .outputs import describe_outputs, in_order


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the folder, each file's size in bytes, the parity report, and what is to be said."""

    folder: Path
    files: Mapping[str, int]
    report: Report | None
    notes: tuple[str, ...]


def assemble(
    prepared: ExportJob,
    folder: Path,
    out: Path,
    name: str,
    artifact: Artifact,
    notes: Sequence[str],
    verify: bool,
    whole: Path | None = None,
) -> Exported:
    """Prove the model file `name` in `folder`, and complete the folder to the bundle that will stand at `out`.

    `whole` is the same graph with the model's own weights, where `name` has smaller ones. It must be as right as
    PyTorch is: what the bound of smaller weights allows is then left to their rounding alone.

    Raises:
        ParityError: the file computes something else than PyTorch.
        CaptureError: it computes the same in one pass, and something else in chunks.
    """
    expected = _expected(prepared, artifact, everything=verify)
    if verify and whole is not None:
        _demand(_prove(prepared, whole.parent, whole.name, replace(artifact, precision=None), expected))
    report = _demand(_prove(prepared, folder, name, artifact, expected)) if verify else None
    proved = _proved(prepared, folder / name, artifact, expected, report)
    stored = choose_cases(expected)
    weights = _write_weights(prepared, folder)
    manifest = Manifest(
        name=prepared.source.name if prepared.source else type(prepared.model).__name__,
        inputs=prepared.signature.inputs,
        outputs=describe_outputs(expected),
        states=prepared.signature.states,
        source=_plain(prepared.source),
        weights_sha256=weights.sha256,
        artifacts={name: proved},
        files={WEIGHTS: weights} if (folder / WEIGHTS).exists() else {},
        cases=write_cases(folder / CASES, stored),
        from_example=prepared.example is not None,
        baseline=baselines(expected),
        versions=package_versions(),
    )
    kept, dropped = _carry_over(prepared, folder, out, manifest, expected)
    artifacts = with_limits({**manifest.artifacts, **kept}, stored, manifest.baseline)
    outputs = in_order(manifest.outputs, folder, artifacts, prepared.signature, expected)
    complete(folder, replace(manifest, artifacts=artifacts, outputs=outputs))
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    said = (*notes, *_precision_notes(proved), *_range_notes(prepared.signature), *dropped)
    return Exported(out, dict(sorted(sizes.items())), report, said)


def _demand(report: Report) -> Report:
    if report.mixes_steps:
        raise cannot_stream(report.failure)
    if not report.passed:
        raise ParityError(report.failure, report)
    return report


def _proved(
    prepared: ExportJob, file: Path, artifact: Artifact, expected: Sequence[Expected], report: Report | None
) -> Artifact:
    if report is None:
        return artifact
    costs: tuple[Report, ...] = (report,)
    if prepared.original is not None:
        session = open_whole(file, artifact, prepared.signature, expected)
        costs = check_cost(session, prepared, prepared.original, expected, artifact)
    precision = artifact.precision and with_measured_error(artifact.precision, [_demand(cost) for cost in costs])
    return replace(artifact, parity=report.to_json(), precision=precision)


def _expected(prepared: ExportJob, artifact: Artifact, *, everything: bool) -> list[Expected]:
    """All cases run through PyTorch; where nothing is verified, only the few that the bundle stores."""
    cases = cases_for([artifact.stream], prepared.signature, prepared.traced, prepared.seed, artifact.bounds)
    chosen = cases if everything else cases[:3]
    return expect(
        prepared.model,
        prepared.signature,
        chosen,
        prepared.example,
        advance=lambda done: prepared.progress("reference", done, len(chosen)),
    )


def _prove(prepared: ExportJob, folder: Path, name: str, artifact: Artifact, expected: Sequence[Expected]) -> Report:
    return check_artifact(
        folder / name,
        artifact,
        prepared.signature,
        expected,
        traced=prepared.traced,
        seed=prepared.seed,
        weights=weights_of(prepared.model, prepared.tensors),
        advance=lambda done: prepared.progress("verify", done, len(expected)),
    )


def _carry_over(
    prepared: ExportJob, folder: Path, out: Path, newer: Manifest, expected: Sequence[Expected]
) -> tuple[dict[str, Artifact], list[str]]:
    """Keep what else an older bundle of the same model holds, model files proved again; say what is dropped."""
    if not (out / MANIFEST).is_file():
        return {}, []
    try:
        older = read_bundle(out)
    except BundleError as error:
        why = str(error).removesuffix(" Export the model again.")
        return {}, [f"The older bundle was damaged, and all that it held has been replaced. {why}"]
    others = {name: artifact for name, artifact in older.artifacts.items() if name not in newer.artifacts}
    same = _is_same_model(older, newer)
    kept = {
        name: artifact
        for name, artifact in others.items()
        if same and _prove(prepared, out, name, artifact, expected).passed
    }
    added = older.added
    for file in [*(file for name in kept for file in older.files_of(name)), *(added if same else [])]:
        shutil.copy2(out / file, folder / file)
    gone = [*(name for name in others if name not in kept), *([] if same else added)]
    return kept, [f"{name} was of another model and is no longer in {out}." for name in gone]


def _is_same_model(older: Manifest, newer: Manifest) -> bool:
    return (older.weights_sha256, older.signature, older.source) == (
        newer.weights_sha256,
        newer.signature,
        newer.source,
    )


def _write_weights(prepared: ExportJob, folder: Path) -> FileEntry:
    """Store the weights where the model can be built again from its source; returns what the file is, or would be."""
    state: dict[str, Tensor] = {}
    stored: set[int] = set()
    for name, value in prepared.model.state_dict().items():
        if isinstance(value, Tensor):
            tensor = value.detach().cpu().contiguous()
            # safetensors takes no two tensors that share memory; where none do, there is no need for a copy of all.
            shared = tensor.untyped_storage().nbytes() != tensor.nbytes or tensor.data_ptr() in stored
            state[name] = tensor.clone() if shared else tensor
            stored.add(tensor.data_ptr())
    if prepared.source is None:
        content = safetensors.torch.save(state)
        return FileEntry(len(content), hashlib.sha256(content).hexdigest())
    safetensors.torch.save_file(state, folder / WEIGHTS)
    return hash_file(folder / WEIGHTS)


def _plain(source: Source | None) -> Source | None:
    """The source as JSON has it; None where an argument has no such form, for then it cannot be built again."""
    try:
        return msgspec.convert(json.loads(json.dumps(asdict(source))), Source) if source else None
    except TypeError:
        return None


def _range_notes(signature: Signature) -> list[str]:
    return [
        f"'{name}' has no value range, so that the cases use 0 and 1 alone. "
        f"Write '{name}: {spec} in 0..HIGHEST' to test them all."
        for name, spec in signature.inputs.items()
        if spec.dtype.startswith("int") and spec.range is None
    ]


def _precision_notes(artifact: Artifact) -> list[str]:
    precision = artifact.precision
    return (
        [
            f"{precision.weights} weights: {output} is off by at most {error.relative:.1e} of its scale "
            f"(allowed {precision.bound:.1e}), {error.vs_eager:.1e} apart from PyTorch in float32."
            for output, error in (precision.error or {}).items()
        ]
        if precision
        else []
    )


def package_versions() -> dict[str, str]:
    """Of this package and what it stands on, as they are here."""
    return {
        "rnn-export": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
