"""Complete a bundle: write its README and manifest, or add a file to it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from msgspec.structs import replace

from ..errors import BundleError
from .files import hash_file, read_bundle
from .manifest import README, Manifest, check_newest, read_manifest, write_manifest
from .ours import foreign_beside_files
from .readme import write_readme
from .replace import not_written, replacing
from .working_folder import working_folder

# What the manifest's schema takes, and file systems do.
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")

# Files of an export and what else `copy_bundle` can leave out by name, on a file system that ignores case too.
_OWN_NAME = re.compile(r"model\..*|readme\.md|manifest\.json|(cases|weights)(\.safetensors)?", re.IGNORECASE)


def complete(folder: Path, manifest: Manifest) -> None:
    """Write the README and the manifest of a bundle whose other files are in the folder.

    Files that `manifest.files` has are taken to be those, all others are hashed.
    """
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
    read_manifest(out)
    try:
        with working_folder(out.resolve()):
            _add(out, name, content)
    except OSError as error:
        raise not_written(out, error) from error


def _add(out: Path, name: str, content: bytes) -> None:
    manifest = _may_add(out, name, content)
    if name in manifest.files:
        return
    with replacing(out, foreign=foreign_beside_files) as folder:
        for file in manifest.files:
            if (out / file).exists():  # all do but the README, which may have been taken away
                shutil.copy2(out / file, folder / file)
        (folder / name).write_bytes(content)
        files = {**manifest.files, name: hash_file(folder / name)}
        write_manifest(folder, replace(manifest, files=files))


def _may_add(out: Path, name: str, content: bytes) -> Manifest:
    """The manifest of a bundle that the file can be added to, or has it with the same content.

    Raises:
        BundleError: as for `add_file`.
    """
    manifest = read_bundle(out)
    if name not in manifest.files:
        _check_name(name)
        check_newest(out)
    elif name not in manifest.added or (out / name).read_bytes() != content:
        raise BundleError(f"{out} has a {name}, which is left alone. Choose another name, or export the model again.")
    return manifest


def _check_name(name: str) -> None:
    if _OWN_NAME.fullmatch(name):
        raise BundleError(f"'{name}' is a name for what an export writes. Choose another name.")
    if not _FILE_NAME.fullmatch(name):
        raise BundleError(
            f"'{name}' is no name for a file in a bundle. Use up to 200 letters, digits, '.', '_' and '-'."
        )
