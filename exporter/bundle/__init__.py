"""The artifact folder: written whole or not at all, read only if every hash fits."""

from __future__ import annotations

import ctypes
import glob
import hashlib
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..errors import BundleError, InputError
from .manifest import CASES, MANIFEST, WEIGHTS, Artifact, FileEntry, Manifest, read_manifest, write_manifest
from .readme import README, write_readme

# renameat2(2): swap two paths in one step.
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100

_PARTIAL = ".partial"
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
        write_manifest(folder, replace(manifest, files={**manifest.files, name: hash_file(folder / name)}))


@contextmanager
def replacing(out: Path, *, what: str = "bundle", mark: str = MANIFEST, option: str = "--out") -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place in one step when the block ends without an error.

    Until then, and on an error or a kill, what is at `out` stays as it is. Folders left by killed runs are removed.

    Args:
        what: the folder is called, and
        mark: the file by which another of its kind is known, which alone may be replaced.
        option: what it was named with on the command line, for messages.

    Raises:
        BundleError: `out` holds something of another kind, or cannot be written.
    """
    from safetensors import SafetensorError  # reading a bundle needs none

    out = out.resolve()
    _check_replaceable(out, what, mark, option)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(out)
        temporary = Path(tempfile.mkdtemp(prefix=_prefix(out) + f"{os.getpid()}.", suffix=_PARTIAL, dir=out.parent))
        temporary.chmod(0o755)
    except OSError as error:
        raise BundleError(f"{out} cannot be written ({error.strerror}). Choose another folder.") from error
    try:
        yield temporary
        _swap_in(temporary, out)
    except OSError as error:
        raise BundleError(f"{out} cannot be written ({error.strerror}). Free some space there.") from error
    except SafetensorError as error:
        raise BundleError(f"{out} cannot be written ({error}). Free some space there.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(out: Path, what: str, mark: str, option: str) -> None:
    if out == Path.cwd():
        raise BundleError(f"{out} is the working folder, which would be replaced. Name one inside it with {option}.")
    if out.exists() and not out.is_dir():
        raise BundleError(f"{out} is a file. Choose a folder with {option}.")
    if out.is_dir() and any(out.iterdir()) and not (out / mark).is_file():
        raise BundleError(f"{out} holds something other than a {what}, which is left alone. Choose another {option}.")


def _prefix(out: Path) -> str:
    """What the temporary folders for `out` begin with on this machine; a process number follows."""
    return f".{out.name}.{platform.node().replace('.', '-')}."


def _remove_leftovers(out: Path) -> None:
    prefix = _prefix(out)
    for leftover in out.parent.glob(f"{glob.escape(prefix)}*{_PARTIAL}"):
        pid = leftover.name.removeprefix(prefix).partition(".")[0]
        if pid.isdigit() and not _is_running(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _swap_in(temporary: Path, out: Path) -> None:
    if not out.exists():
        temporary.rename(out)
    elif not _exchange(temporary, out):
        # Where the system cannot swap two folders, there is a moment between these two renames.
        aside = temporary.with_suffix(".old")
        out.rename(aside)
        temporary.rename(out)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return (
        renameat2 is not None
        and renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE)) == 0
    )
