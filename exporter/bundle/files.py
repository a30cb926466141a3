"""Hash and check the files of a bundle, and read one whose files are as they were written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError, InputError
from ..spec.artifact import Artifact, FileEntry
from .manifest import MANIFEST, README, WEIGHTS, Manifest, read_manifest


def hash_file(path: Path) -> FileEntry:
    """The size and sha256 of a file."""
    with path.open("rb") as file:
        return FileEntry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def check_file(path: Path, entry: FileEntry) -> None:
    """Compare a file of a bundle with what its manifest says.

    Raises:
        BundleError: it is missing, or is not as it was written.
    """
    if not path.is_file():
        raise BundleError(f"{path} is missing, though {MANIFEST} lists it. Export the model again.")
    if path.stat().st_size != entry.bytes or hash_file(path) != entry:
        raise BundleError(f"{path} is not as it was written (its sha256 differs). Export the model again.")


def check_listed(folder: Path, manifest: Manifest, artifact: str) -> None:
    """Check that a model file and the weights beside it are listed, for the hash of nothing else was compared.

    Raises:
        BundleError: one is there, and the manifest does not list it.
    """
    for name in (artifact, f"{artifact}.data"):
        if (folder / name).exists() and name not in manifest.files:
            raise BundleError(f"{folder / name} is there, and {MANIFEST} does not list it. Export the model again.")


def read_bundle(bundle: str | Path) -> Manifest:
    """Read a bundle's manifest and check every file against it.

    Raises:
        BundleError: the folder is not a bundle, or a file but its README is missing or is not as it was written.
    """
    folder = Path(bundle)
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        if name != README:  # which is for people, who may write something into it
            check_file(folder / name, entry)
    weights = manifest.files.get(WEIGHTS)
    if weights is not None and weights.sha256 != manifest.weights_sha256:
        raise BundleError(f"{folder / MANIFEST} has two hashes of {WEIGHTS}. Export the model again.")
    return manifest


@dataclass(frozen=True)
class Bundle:
    """A folder whose files have been checked, so that several things can be made of it."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, bundle: str | Path | Bundle) -> Bundle:
        """Check a folder; one that is open already is returned as it is.

        Raises:
            BundleError: as for `read_bundle`.
        """
        return bundle if isinstance(bundle, Bundle) else cls(Path(bundle), read_bundle(Path(bundle)))

    @property
    def onnx(self) -> tuple[str, Artifact]:
        """Its ONNX file: the name, and what the manifest says of it.

        Raises:
            BundleError: there is none.
        """
        artifacts = self.manifest.artifacts
        found = next((entry for entry in artifacts.items() if entry[0].endswith(".onnx")), None)
        if found is None:
            raise BundleError(
                f"{self.folder} holds no ONNX file, but {', '.join(artifacts)}. Export it with rnn-export onnx."
            )
        return found

    def check_outside(self, out: Path) -> None:
        """Keep what is made of a bundle out of its folder, which the next export replaces.

        Raises:
            InputError: it lies in there, or is the bundle itself.
        """
        if out.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(f"{out} lies in the bundle {self.folder}, which stays as it is. Choose another folder.")
