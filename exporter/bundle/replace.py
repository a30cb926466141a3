"""Replace a folder in one step, or leave it as it was; what is not ours is never replaced."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BundleError
from .ours import foreign_in_bundle
from .working_folder import HALF_WRITTEN, working_folder

# renameat2(2): swap two paths in one step.
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Names what a folder holds that would be lost with it and is not ours; empty if nothing is.
Foreign = Callable[[Path], str]


@contextmanager
def replacing(out: Path, *, what: str = "bundle", foreign: Foreign = foreign_in_bundle) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place in one step when the block ends without an error.

    Until then, and on an error or a kill, what is at `out` stays as it is. Another process or thread that writes to
    `out` is waited for, and what a killed one has left is removed.

    Args:
        what: what kind of folder it is, for messages.
        foreign: names what such a folder holds that is not ours; a folder with anything of that is not replaced.

    Raises:
        BundleError: `out` holds something that is not ours, or cannot be written.
    """
    from safetensors import SafetensorError  # reading a bundle needs none

    out = out.resolve()
    _check_place(out)
    try:
        with working_folder(out) as beside:
            _check_content(out, what, foreign)
            temporary = Path(tempfile.mkdtemp(prefix=HALF_WRITTEN, dir=beside))
            temporary.chmod(0o755)
            try:
                yield temporary
                _swap_in(temporary, out, what, foreign)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise not_written(out, error) from error
    except SafetensorError as error:
        raise BundleError(f"{out} cannot be written ({error}). Free some space there.") from error


def not_written(out: Path, error: OSError) -> BundleError:
    """The error for a folder that the system does not let us write."""
    remedy = "Free some space there." if error.errno in _FULL else "Choose another folder."
    return BundleError(f"{out} cannot be written ({error.strerror or error}). {remedy}")


def _check_place(out: Path) -> None:
    if Path.cwd() == out:
        raise BundleError(f"{out} is the working folder, which would be replaced. Choose a folder inside it.")
    if Path.cwd().is_relative_to(out):
        raise BundleError(f"{out} holds the working folder, which would be replaced with it. Choose another folder.")
    if out.exists() and not out.is_dir():
        raise BundleError(f"{out} is a file. Choose a folder.")
    if os.path.ismount(out):
        raise BundleError(f"{out} is a mount point, which cannot be replaced. Choose a folder inside it.")


def _check_content(out: Path, what: str, foreign: Foreign) -> None:
    """While nobody else writes there: who looks at a folder in between takes another's new file for the user's."""
    found = foreign(out) if out.is_dir() and any(out.iterdir()) else ""
    if found:
        raise _left_alone(out, what, found)


def _left_alone(out: Path, what: str, found: str) -> BundleError:
    return BundleError(
        f"{out} holds something other than a {what}, which is left alone. Move {found} elsewhere, or choose another "
        "folder."
    )


def _swap_in(temporary: Path, out: Path, what: str, foreign: Foreign) -> None:
    if not out.exists():
        temporary.rename(out)
        return
    _swap(temporary, out)
    # What came into the old folder in the meantime shows now, when nobody reaches it by its name any more.
    found = foreign(temporary) if any(temporary.iterdir()) else ""
    if found:
        _swap(temporary, out)
        raise _left_alone(out, what, found)


def _swap(one: Path, other: Path) -> None:
    if not _exchange(one, other):
        # Where the system cannot swap two folders, there is a moment between these renames.
        aside = one.with_suffix(".aside")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; False where the system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return (
        renameat2 is not None
        and renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE)) == 0
    )
