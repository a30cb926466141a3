"""The manifest of a bundle: what is in it, where it came from, and what verification found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from ..errors import BundleError, SignatureError
from ..spec.artifact import Artifact, FileEntry, Sha256, Source, StoredCase
from ..spec.signature import Signature, TensorSpec
from ..version import __version__


def as_newest(data: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a manifest of format 1 or 2 under the names of format 3.

    Older formats had one limit for all elements of an output, which is left out: it was too wide.

    Raises:
        AttributeError, KeyError, TypeError: it is of no such format.
    """
    kept = {key: value for key, value in data.items() if key not in ("typical", "baseline")}
    dropped = ("own_error", "eager_error")
    cases = [{key: value for key, value in case.items() if key not in dropped} for case in data["cases"]]
    artifacts = {name: _artifact(entry) for name, entry in data["artifacts"].items()}
    return {**kept, "format": FORMAT, "cases": cases, "artifacts": artifacts}


def _artifact(entry: Mapping[str, Any]) -> dict[str, Any]:
    parity = entry["parity"]
    if parity is not None:
        cases = [{**case, "verdict": case["verdict"].replace("KNOWN", "EXPECTED")} for case in parity["cases"]]
        parity = {**parity, "cases": cases}
    return {**{key: value for key, value in entry.items() if key != "limits"}, "parity": parity}


MANIFEST = "manifest.json"
CASES = "cases.safetensors"
WEIGHTS = "weights.safetensors"
README = "README.md"

# One more whenever a program that reads manifests has to know what has changed.
FORMAT = 3

# Bytes of a manifest; one of many states with reset values of their own has a few million.
_LARGEST = 2**28

FileName = Annotated[str, Meta(pattern="^[A-Za-z0-9_][A-Za-z0-9._-]*$")]


class Manifest(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True, tag_field="format", tag=FORMAT
):
    """What is in a bundle, how to run it, where it came from, and what verification found."""

    name: Annotated[str, Meta(min_length=1)]
    inputs: Annotated[
        Mapping[str, TensorSpec],
        Meta(min_length=1, description="Inputs by name, in the order of forward's positional arguments."),
    ]
    outputs: Annotated[
        Mapping[str, str],
        Meta(
            min_length=1,
            description="Outputs by name, in flattened order, such as float32[T, N, 3]. Where a file is fed in chunks, "
            "factors of a product are in the order in which elements lie: T*N is T times N, N*T is N times T.",
        ),
    ]
    states: Annotated[
        Mapping[str, str],
        Meta(description="Input name to output name: feed the output back as the input to go on with a stream."),
    ]
    source: Annotated[
        Source | None,
        Meta(description="How to build the model again; null for one that was given as an object."),
    ]
    weights_sha256: Sha256
    artifacts: Annotated[Mapping[FileName, Artifact], Meta(min_length=1, description="Exported model files by name.")]
    files: Mapping[FileName, FileEntry]
    cases: Annotated[
        tuple[StoredCase, ...],
        Meta(
            description="Cases in cases.safetensors: <name>/inputs/<input>, <name>/outputs/<output> as PyTorch computes"
            " it, <name>/reference/<output> in float64, and <name>/limits/<file>/<output> for each element's error."
        ),
    ]
    from_example: Annotated[
        bool,
        Meta(description="Whether the first case holds the caller's own inputs, from which fresh cases are cut."),
    ]
    versions: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<Manifest: {self.name}, {', '.join(self.artifacts)}, {self.signature!r}>"

    @cached_property
    def signature(self) -> Signature:
        """Inputs, outputs and states.

        Raises:
            SignatureError: a state names no input or output, or a name is used twice.
        """
        return Signature(self.inputs, list(self.outputs), self.states)

    def files_of(self, artifact: str) -> list[str]:
        """A model file and what belongs to it, such as weights in a file beside it."""
        return [name for name in self.files if name == artifact or name.startswith(f"{artifact}.")]

    @property
    def added(self) -> list[str]:
        """The files that `add_file` put into the bundle."""
        own = {README, CASES, WEIGHTS, *(file for name in self.artifacts for file in self.files_of(name))}
        return [name for name in self.files if name not in own]

    def to_json(self) -> dict[str, Any]:
        """The content of `manifest.json`, its own hash at the end."""
        data: dict[str, Any] = to_builtins(self, enc_hook=_plain)
        return {**data, "sha256": _digest(data)}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` into a folder."""
    (folder / MANIFEST).write_text(json.dumps(manifest.to_json(), indent=2) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        BundleError: there is none, it is malformed, of a newer format, or it was changed after it was written.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}. Give a folder that an export wrote.")
    if path.stat().st_size > _LARGEST:
        raise _malformed(path, f"it has more than {_LARGEST} bytes")
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
        _check_text(data)
    except (ValueError, RecursionError) as error:
        raise _malformed(path, str(error)) from error
    if not isinstance(data, dict) or type(data.get("format")) is not int or "sha256" not in data:
        raise _malformed(path, "`format` or `sha256` is missing")
    _check_format(path, data)
    sha256 = data.pop("sha256")
    try:
        manifest = convert(as_newest(data) if data["format"] < FORMAT else data, Manifest)
    except (ValidationError, SignatureError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise _malformed(path, str(error)) from error
    if sha256 != _digest(data):
        raise BundleError(f"{path} was changed after it was written. Export the model again.")
    return manifest


def format_of(folder: Path) -> int:
    """The format in which the manifest of a bundle is written, which has been read before."""
    return int(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["format"])


def check_newest(folder: Path) -> None:
    """See that a bundle can be written anew: one of an older format lacks the limits of elements.

    Raises:
        BundleError: it is of an older format.
    """
    found = format_of(folder)
    if found < FORMAT:
        raise BundleError(
            f"{folder} is of format {found}, whose limits were too wide to be kept. Export the model again."
        )


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are each there once: of two a program may read the other one.

    Raises:
        ValueError: a key is there twice.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _check_text(data: Any) -> None:
    """Refuse what could not be printed, or would steer the terminal that it is printed on.

    Raises:
        ValueError: there is any; a UnicodeEncodeError where it is half a character.
    """
    text = json.dumps(data, ensure_ascii=False)
    text.encode()
    if any(mark in text for mark in (r"\u001b", "\x7f", "\x9b")):
        raise ValueError("it has control characters in it")


def _check_format(path: Path, data: Mapping[str, Any]) -> None:
    """Refuse a newer format first: what is new in it would be called malformed."""
    found = data["format"]
    if found <= FORMAT:
        return
    versions = data.get("versions")
    writer = versions.get("rnn-export") if isinstance(versions, dict) else None
    needed = f"rnn-export {writer}, which wrote it, or a newer one" if isinstance(writer, str) else "a newer one"
    raise BundleError(
        f"{path} is of format {found}, and rnn-export {__version__} reads up to {FORMAT}. Install {needed}."
    )


def _malformed(path: Path, reason: str) -> BundleError:
    return BundleError(f"{path} is not a manifest ({reason[:200]}). Export the model again.")


def _plain(value: Any) -> str | int | float:
    """A value of a type that JSON has not, such as numpy's float64 or int64, as the one that it has.

    Raises:
        NotImplementedError: it is of another type.
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise NotImplementedError(type(value).__name__)


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
