"""The files of a bundle: hash them, check them, read a bundle, complete a new one, add a file to one."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from ..errors import BundleError, InputError
from ..spec.artifact import Artifact, FileEntry
from .format1 import upgraded
from .manifest import MANIFEST, README, Manifest, read_manifest, write_manifest
from .replace import replacing

# What the manifest's schema takes, and file systems do.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")

# Files of an export and what else `ship` can leave out by name, on a file system that ignores case too.
_OWN_NAME = re.compile(r"model\..*|readme\.md|manifest\.json|(cases|weights)(\.safetensors)?", re.IGNORECASE)


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
    if hash_file(path) != entry:
        raise BundleError(f"{path} is not as it was written (its sha256 differs). Export the model again.")


def read_bundle(folder: Path) -> Manifest:
    """Read a bundle's manifest and check every file against it.

    Raises:
        BundleError: the folder is not a bundle, or a file but its README is missing or is not as it was written.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        if name != README:  # which is for people, who may write something into it
            check_file(folder / name, entry)
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


def complete(folder: Path, manifest: Manifest) -> None:
    """Write the README and the manifest of a bundle whose other files are in the folder.

    Files that `manifest.files` has are taken to be those, all others are hashed.
    """
    from .readme import write_readme  # a stream is opened without it

    write_readme(folder, manifest)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors lets nobody else read what it writes
    known = {name: entry for name, entry in manifest.files.items() if name != README}
    files = {path.name: known.get(path.name) or hash_file(path) for path in sorted(folder.iterdir())}
    write_manifest(folder, replace(manifest, files=files))


def add_file(bundle: str | Path, name: str, content: bytes) -> None:
    """Put a file of your own into a bundle, such as a vocabulary; its hash is checked like that of every other.

    An export of the same model to the same folder keeps it, one of another model says that it is gone.

    Raises:
        BundleError: the folder is not a bundle, is not as it was written, or cannot be written; or it has another file
            of that name, or the name is one that exports use, or has other characters than letters, digits, '.', '_'
            and '-'.
    """
    out = Path(bundle)
    manifest = read_bundle(out)
    if name in manifest.added and (out / name).read_bytes() == content:
        return
    if name in manifest.files:
        raise BundleError(f"{out} has a {name}, which is left alone. Choose another name, or export the model again.")
    _check_name(name)
    with replacing(out) as folder:
        for file in manifest.files:
            if (out / file).exists():  # all do but the README, which may have been taken away
                shutil.copy2(out / file, folder / file)
        (folder / name).write_bytes(content)
        files = {**manifest.files, name: hash_file(folder / name)}
        write_manifest(folder, replace(upgraded(out, manifest), files=files))


def _check_name(name: str) -> None:
    if _OWN_NAME.fullmatch(name):
        raise BundleError(f"'{name}' is a name for what an export writes. Choose another name.")
    if not _FILE_NAME.fullmatch(name):
        raise BundleError(
            f"'{name}' is no name for a file in a bundle. Use up to 200 letters, digits, '.', '_' and '-'."
        )
