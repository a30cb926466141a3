"""What a folder holds that rnn-export did not write, or that somebody has changed since: it is never deleted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import BundleError
from ..spec.artifact import FileEntry
from .files import hash_file
from .manifest import MANIFEST, README, read_manifest

# What a folder's own list of its files begins with, where it is no bundle's manifest.
WRITER = "rnn-export"


def foreign_in_bundle(folder: Path) -> str:
    """Name what would be lost with a bundle: what its manifest does not list, and what people edit in it.

    Those are its page and the files that `add_file` put there. Model files, weights and cases that are not as they
    were written are damaged, which exporting again mends.
    """
    return _foreign(folder, edited=True)


def foreign_beside_files(folder: Path) -> str:
    """Name what would be lost with a bundle whose every file is kept, edited or not."""
    return _foreign(folder, edited=False)


def _foreign(folder: Path, *, edited: bool) -> str:
    try:
        manifest = read_manifest(folder)
    except BundleError:
        return MANIFEST if (folder / MANIFEST).exists() else _first(folder)
    own = {MANIFEST, *manifest.files}
    unknown = next((path.name for path in _sorted(folder) if path.name not in own or not _is_plain(path)), "")
    if unknown or not edited:
        return unknown
    for name in (README, *manifest.added):
        entry = manifest.files.get(name)
        if entry is not None and (folder / name).exists() and hash_file(folder / name) != entry:
            return f"{name}, which was edited,"
    return ""


def foreign_in(folder: Path, listed: Mapping[str, FileEntry]) -> str:
    """Name what would be lost with a folder of other files than a bundle's: all but those listed, as they were written.

    Args:
        listed: by their path in the folder.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            if any(listed_name.startswith(f"{name}/") for listed_name in listed):
                continue
            return name
        if name not in listed or not _is_plain(path):
            return name
        if hash_file(path) != listed[name]:
            return f"{name}, which was edited,"
    return ""


def hash_files(folder: Path) -> dict[str, FileEntry]:
    """Every file below a folder, by its path in there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in files}


def _sorted(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def _first(folder: Path) -> str:
    return _sorted(folder)[0].name


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
