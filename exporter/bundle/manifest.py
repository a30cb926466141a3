"""The manifest of a bundle: what is in it, where it came from, and how it was proved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import BundleError
from ..spec.artifact import Artifact, FileEntry
from ..spec.signature import Signature, TensorSpec
from ..version import __version__

MANIFEST = "manifest.json"
CASES = "cases.safetensors"
WEIGHTS = "weights.safetensors"

# One more whenever a program that reads manifests has to know what has changed.
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """Everything a program needs to use the bundle and a person to trust it.

    `outputs` describes each output, such as `float32[T*N, 3]`. `states` of the signature pair inputs with outputs.
    `from_example` says that the first of the stored `cases` holds the caller's own inputs, from which others are cut.
    `source` says how to build the model again, or is None for a model that was given as an object. `typical` holds,
    per output, what limits are computed from when the stored `cases` are replayed (see `parity.compare.Baseline`).
    """

    name: str
    signature: Signature
    outputs: Mapping[str, str]
    source: Mapping[str, Any] | None
    weights_sha256: str
    artifacts: Mapping[str, Artifact]
    files: Mapping[str, FileEntry]
    cases: Sequence[Mapping[str, Any]]
    from_example: bool
    typical: Mapping[str, Mapping[str, float]]
    versions: Mapping[str, str]

    def files_of(self, artifact: str) -> list[str]:
        """A model file and what belongs to it, such as weights in a file beside it."""
        return [name for name in self.files if name == artifact or name.startswith(f"{artifact}.")]

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "inputs": {
                name: {
                    "dtype": spec.dtype,
                    "shape": list(spec.shape),
                    "range": spec.range and list(spec.range),
                    "descending": spec.descending,
                }
                for name, spec in self.signature.inputs.items()
            },
            "outputs": dict(self.outputs),
            "states": dict(self.signature.states),
            "source": self.source,
            "weights_sha256": self.weights_sha256,
            "artifacts": {name: artifact.to_json() for name, artifact in self.artifacts.items()},
            "files": {name: vars(entry) for name, entry in self.files.items()},
            "cases": list(self.cases),
            "from_example": self.from_example,
            "typical": {name: dict(values) for name, values in self.typical.items()},
            "versions": dict(self.versions),
        }
        return {**data, "sha256": _digest(data)}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into a folder."""
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json(), indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and validate `manifest.json`.

    Raises:
        BundleError: there is none, it is malformed, of a newer format, or it was changed after it was written.
    """
    import jsonschema  # takes as long to import as all else that a stream needs

    data = _read(folder)
    try:
        jsonschema.validate(data, schema())
    except jsonschema.ValidationError as error:
        raise _malformed(folder, error.message) from error
    return _unsealed(folder, data)


def read_sealed(folder: Path) -> Manifest:
    """Read `manifest.json` on the word of its own hash: what an export wrote fits the schema.

    Raises:
        BundleError: there is none, or it is not as an export of this version wrote it.
    """
    data = _read(folder)
    if not isinstance(data, dict) or data.get("format") != FORMAT or "sha256" not in data:
        raise _malformed(folder, f"it is not of format {FORMAT}")
    return _unsealed(folder, data)


def _read(folder: Path) -> Any:
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}. Give a folder that an export wrote.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _malformed(folder, str(error)) from error
    _check_format(path, data)
    return data


def _check_format(path: Path, data: Any) -> None:
    """Refuse a newer format before the schema does, which would not say what is to be done about it."""
    found = data.get("format") if isinstance(data, dict) else None
    if not isinstance(found, int) or found <= FORMAT:
        return
    versions = data.get("versions")
    writer = versions.get("rnn-export") if isinstance(versions, dict) else None
    needed = f"rnn-export {writer}, which wrote it, or a newer one" if isinstance(writer, str) else "a newer one"
    raise BundleError(
        f"{path} is of format {found}, and rnn-export {__version__} reads up to {FORMAT}. Install {needed}."
    )


def _malformed(folder: Path, reason: str) -> BundleError:
    return BundleError(f"{folder / MANIFEST} is not a manifest ({reason[:120]}). Export the model again.")


def _unsealed(folder: Path, data: dict[str, Any]) -> Manifest:
    if data.pop("sha256") != _digest(data):
        raise BundleError(f"{folder / MANIFEST} was changed after it was written. Export the model again.")
    return _from_json(data)


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of `manifest.json`, which ships with the package."""
    text = resources.files(__package__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _from_json(data: Mapping[str, Any]) -> Manifest:
    inputs = {
        name: TensorSpec(
            spec["dtype"], tuple(spec["shape"]), tuple(spec["range"]) if spec["range"] else None, spec["descending"]
        )
        for name, spec in data["inputs"].items()
    }
    return Manifest(
        name=data["name"],
        signature=Signature(inputs, list(data["outputs"]), data["states"]),
        outputs=data["outputs"],
        source=data["source"],
        weights_sha256=data["weights_sha256"],
        artifacts={name: Artifact.from_json(entry) for name, entry in data["artifacts"].items()},
        files={name: FileEntry(**entry) for name, entry in data["files"].items()},
        cases=data["cases"],
        from_example=data["from_example"],
        typical=data["typical"],
        versions=data["versions"],
    )


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
