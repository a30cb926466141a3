"""From a model file to a whole bundle: weights, cases, README, manifest, and what an older bundle may leave behind."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import onnx
import onnxruntime
import safetensors.torch
import torch
from msgspec import UNSET
from msgspec.structs import asdict, replace
from torch import Tensor

from ..errors import BundleError, InterfaceError
from ..parity.artifact import ExportCheck
from ..parity.notebook import report_html
from ..parity.report import Report
from ..pytorch.job import ExportJob
from ..spec.artifact import Artifact, FileEntry, Source
from ..spec.signature import Signature
from ..version import __version__
from .cases import choose_cases, describe_outputs, in_order, write_cases
from .complete import complete
from .files import hash_file, read_bundle
from .manifest import CASES, MANIFEST, WEIGHTS, Manifest
from .run import run_artifact


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the folder, each file's size in bytes, the parity report, and warnings and remarks.

    `artifact` is the name of the model file. `untrained` is how many of the parameters are as a seed drew them, where
    the model's source is known.
    """

    folder: Path
    artifact: str
    files: Mapping[str, int]
    report: Report | None
    notes: tuple[str, ...]
    untrained: int = 0

    @property
    def model(self) -> Path:
        """The model file."""
        return self.folder / self.artifact

    def run(self, inputs: Mapping[str, Any] | None = None, /, **named: Any) -> dict[str, Any]:
        """Run the model file on arrays or tensors: `exported.run(x=x)`, or `run({"hx.0": h})` for a name with a dot.

        Returns a numpy array for each output by name. Each call loads the file; states of a stream that are not given
        begin as they are reset.

        Raises:
            BundleError: the bundle is not there any more, or was changed.
            InputError: an input is missing, unknown, or has another shape or dtype.
        """
        return run_artifact(self.folder, self.artifact, {**(inputs or {}), **named})

    def __repr__(self) -> str:
        verdict = self.report.verdict if self.report else "not verified"
        return f"<Exported: {self.model}, {verdict}>"

    def _repr_html_(self) -> str:
        report = "<p>Not verified.</p>" if self.report is None else report_html(self.report)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return f"{report}<p><code>{escape(str(self.model))}</code></p><ul>{notes}</ul>"

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "files": dict(self.files),
            "notes": list(self.notes),
            "untrained": self.untrained,
            "report": self.report and self.report.to_json(),
        }


def assemble(
    check: ExportCheck,
    folder: Path,
    out: Path,
    name: str,
    artifact: Artifact,
    report: Report | None,
    notes: Sequence[str],
) -> Exported:
    """Complete `folder`, which holds the model file `name`, to the bundle that will stand at `out`."""
    job, expected = check.job, check.expected
    stored = choose_cases(expected)
    weights = _write_weights(job, folder)
    manifest = Manifest(
        name=job.source.name if job.source else type(job.model).__name__,
        inputs=job.signature.inputs,
        outputs=describe_outputs(expected),
        states=job.signature.states,
        source=_plain(job.source),
        weights_sha256=weights.sha256,
        artifacts={name: artifact},
        files={WEIGHTS: weights} if (folder / WEIGHTS).exists() else {},
        cases=(),
        from_example=job.example is not None,
        versions=package_versions(),
    )
    kept, dropped = _carry_over(check, folder, out, manifest)
    artifacts = dict(sorted({**manifest.artifacts, **kept}.items()))
    cases = write_cases(folder / CASES, stored, artifacts)
    outputs = in_order(manifest.outputs, folder, artifacts, job.signature, expected)
    complete(folder, replace(manifest, artifacts=artifacts, outputs=outputs, cases=cases))
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    remarks = (*notes, *artifact.costs, *_range_notes(job.signature), *dropped)
    untrained = job.source.untrained if job.source else UNSET
    return Exported(out, name, dict(sorted(sizes.items())), report, remarks, 0 if untrained is UNSET else untrained)


def _carry_over(check: ExportCheck, folder: Path, out: Path, newer: Manifest) -> tuple[dict[str, Artifact], list[str]]:
    """Keep what else an older bundle of the same model holds, its model files verified again; say what is dropped."""
    if not (out / MANIFEST).is_file():
        return {}, []
    try:
        older = read_bundle(out)
    except BundleError as error:
        why = str(error).removesuffix(" Export the model again.")
        return {}, [f"The older bundle was damaged, and all that it held has been replaced. {why}"]
    others = {name: artifact for name, artifact in older.artifacts.items() if name not in newer.artifacts}
    same = _is_same_model(older, newer)
    kept = {name: artifact for name, artifact in others.items() if same and _is_right(check, out / name, artifact)}
    added = older.added
    for file in [*(file for name in kept for file in older.files_of(name)), *(added if same else [])]:
        shutil.copy2(out / file, folder / file)
    gone = [*(name for name in others if name not in kept), *([] if same else added)]
    return kept, [f"{name} was of another model and is no longer in {out}." for name in gone]


def _is_right(check: ExportCheck, file: Path, artifact: Artifact) -> bool:
    """Whether an older file computes what the model computes; a file that is not what its manifest says does not."""
    try:
        return check.report(file, artifact).passed
    except (InterfaceError, BundleError):
        return False


def _is_same_model(older: Manifest, newer: Manifest) -> bool:
    return (older.weights_sha256, older.signature, _as_built(older.source)) == (
        newer.weights_sha256,
        newer.signature,
        _as_built(newer.source),
    )


def _as_built(source: Source | None) -> Source | None:
    """The source without what it does not take to build the model."""
    return source and replace(source, cases=UNSET, untrained=UNSET)


def _write_weights(job: ExportJob, folder: Path) -> FileEntry:
    """Store the weights where the model can be built again from its source; returns what the file is, or would be."""
    state: dict[str, Tensor] = {}
    stored: set[int] = set()
    for name, value in job.model.state_dict().items():
        if isinstance(value, Tensor):
            tensor = value.detach().cpu().contiguous()
            # safetensors takes no two tensors that share memory; where none do, there is no need for a copy of all.
            shared = tensor.untyped_storage().nbytes() != tensor.nbytes or tensor.data_ptr() in stored
            state[name] = tensor.clone() if shared else tensor
            stored.add(tensor.data_ptr())
    if job.source is None:
        content = safetensors.torch.save(state)
        return FileEntry(len(content), hashlib.sha256(content).hexdigest())
    safetensors.torch.save_file(state, folder / WEIGHTS)
    return hash_file(folder / WEIGHTS)


def _plain(source: Source | None) -> Source | None:
    """The source as JSON has it; None where an argument has no such form, for then it cannot be built again."""
    if source is None:
        return None
    given = {name: value for name, value in asdict(source).items() if value is not UNSET}
    try:
        return msgspec.convert(json.loads(json.dumps(given)), Source)
    except TypeError:
        return None


def _range_notes(signature: Signature) -> list[str]:
    return [
        f"'{name}' has no value range, so that the cases use 0 and 1 alone. "
        f"Write '{name}: {spec} in 0..HIGHEST' to test them all."
        for name, spec in signature.inputs.items()
        if spec.dtype.startswith("int") and spec.range is None and name not in signature.states
    ]


def package_versions() -> dict[str, str]:
    """Of this package and what it stands on, as they are here."""
    return {
        "rnn-export": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
