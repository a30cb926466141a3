"""Replace a folder in one step, or leave it as it was."""

from __future__ import annotations

import ctypes
import glob
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BundleError
from .manifest import MANIFEST

# renameat2(2): swap two paths in one step.
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_PARTIAL = ".partial"


@contextmanager
def replacing(out: Path, *, what: str = "bundle", mark: str = MANIFEST) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place in one step when the block ends without an error.

    Until then, and on an error or a kill, what is at `out` stays as it is. Folders left by killed runs are removed.

    Args:
        what: what kind of folder it is, for messages.
        mark: the file by which a folder of that kind is known; no other folder is replaced.

    Raises:
        BundleError: `out` holds something of another kind, or cannot be written.
    """
    from safetensors import SafetensorError  # reading a bundle needs none

    out = out.resolve()
    _check_replaceable(out, what, mark)
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


def _check_replaceable(out: Path, what: str, mark: str) -> None:
    if out == Path.cwd():
        raise BundleError(f"{out} is the working folder, which would be replaced. Choose a folder inside it.")
    if out.exists() and not out.is_dir():
        raise BundleError(f"{out} is a file. Choose a folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / mark).is_file():
        raise BundleError(f"{out} holds something other than a {what}, which is left alone. Choose another folder.")


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
