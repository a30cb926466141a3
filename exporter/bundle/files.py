"""The artifact folder: written whole or not at all, read only if every hash fits."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

from msgspec.structs import replace

from ..errors import BundleError, InputError
from ..spec.artifact import Artifact, FileEntry
from .format1 import completed
from .manifest import CASES, MANIFEST, WEIGHTS, Manifest, read_manifest, write_manifest
from .readme import README, write_readme
from .replace import replacing

# What the manifest's schema takes, and file systems do.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")

# Files of an export and what else `ship` can leave out by name, on a file system that ignores case too.
_OWN_NAME = re.compile(r"model\..*|readme\.md|manifest\.json|(cases|weights)(\.safetensors)?", re.IGNORECASE)


def hash_file(path: Path) -> FileEntry:
    """The size and sha256 of a file."""
    with path.open("rb") as file:
        return FileEntry(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


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


def check_outside(out: Path, bundle: Path) -> None:
    """Keep what is made of a bundle out of its folder, which the next export replaces.

    Raises:
        InputError: it lies in there, or is the bundle itself.
    """
    if out.resolve().is_relative_to(bundle.resolve()):
        raise InputError(f"{out} lies in the bundle {bundle}, which stays as it is. Choose another folder.")


def onnx_of(folder: Path, manifest: Manifest) -> tuple[str, Artifact]:
    """The ONNX file of a bundle, and what is said of it.

    Raises:
        BundleError: there is none.
    """
    found = next((entry for entry in manifest.artifacts.items() if entry[0].endswith(".onnx")), None)
    if found is None:
        raise BundleError(
            f"{folder} holds no ONNX file, but {', '.join(manifest.artifacts)}. Export it with rnn-export onnx."
        )
    return found


def added_files(manifest: Manifest) -> list[str]:
    """The files that `add_file` put into a bundle."""
    own = {README, CASES, WEIGHTS, *(file for name in manifest.artifacts for file in manifest.files_of(name))}
    return [name for name in manifest.files if name not in own]


def complete(folder: Path, manifest: Manifest) -> None:
    """Write the page about a bundle whose other files are in the folder, and the manifest with every file's hash."""
    write_readme(folder, manifest)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors lets nobody else read what it writes
    listed = {path.name: hash_file(path) for path in sorted(folder.iterdir())}
    write_manifest(folder, replace(manifest, files=listed))


def check_file(path: Path, entry: FileEntry) -> None:
    """Compare a file of a bundle with what its manifest says.

    Raises:
        BundleError: it is missing, or is not as it was written.
    """
    if not path.is_file():
        raise BundleError(f"{path} is missing, though {MANIFEST} lists it. Export the model again.")
    if hash_file(path) != entry:
        raise BundleError(f"{path} is not as it was written (its sha256 differs). Export the model again.")


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
    if name in added_files(manifest) and (out / name).read_bytes() == content:
        return
    if name in manifest.files:
        raise BundleError(f"{out} has a {name}, which is left alone. Choose another name, or export the model again.")
    if _OWN_NAME.fullmatch(name):
        raise BundleError(f"'{name}' is a name for what an export writes. Choose another name.")
    if not _FILE_NAME.fullmatch(name):
        raise BundleError(
            f"'{name}' is no name for a file in a bundle. Use up to 200 letters, digits, '.', '_' and '-'."
        )
    with replacing(out) as folder:
        for file in manifest.files:
            if (out / file).exists():  # all do but the README, which may have been taken away
                shutil.copy2(out / file, folder / file)
        (folder / name).write_bytes(content)
        files = {**manifest.files, name: hash_file(folder / name)}
        write_manifest(folder, replace(completed(out, manifest), files=files))
