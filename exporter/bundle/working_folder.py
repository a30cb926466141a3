"""A folder beside a place that is written to: what is half done lies in it, and one process at a time has it."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import BundleError

# What tells such a folder from one of the user's. The system frees the lock when its process ends, however.
LOCK = "rnn-export.lock"
# What half-written folders in there begin with.
HALF_WRITTEN = "new."

# Seconds to wait for another process: as long as the export of a large model takes. It is asked so often.
PATIENCE = 1_800.0
_INTERVAL = 0.05


@dataclass
class _Held:
    """A working folder that a thread of this process has, and how many blocks it is in."""

    folder: Path
    depth: int


_held = threading.local()


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """Have the working folder of `out` within the block; a thread that has it already goes on.

    Another process or thread is waited for. What a killed run left in it is removed, and at the end the folder.

    Raises:
        BundleError: something of the user's is in its place, or another process does not end.
        OSError: the folder cannot be written.
    """
    mine: dict[Path, _Held] = _held.__dict__.setdefault("folders", {})
    if out in mine:
        mine[out].depth += 1
        try:
            yield mine[out].folder
        finally:
            mine[out].depth -= 1
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.partial")
    lock = _acquire(folder, out)
    mine[out] = _Held(folder, 1)
    try:
        _remove_half_written(folder)
        yield folder
    finally:
        del mine[out]
        _remove_half_written(folder)
        # The lock last, and while it is held: who waits for it sees that it is no longer there, and makes a new one.
        (folder / LOCK).unlink(missing_ok=True)
        with suppress(OSError):  # another has it already, or the user has put something there
            folder.rmdir()
        fcntl.flock(lock, fcntl.LOCK_UN)  # a process that was forked meanwhile has the file open too
        os.close(lock)


def _acquire(folder: Path, out: Path) -> int:
    deadline = time.monotonic() + PATIENCE
    while True:
        lock = _try(folder)
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise BundleError(
                f"{out} is being written by another process, which has not ended for {PATIENCE / 60:.0f} minutes. "
                "End it, or choose another folder."
            )
        time.sleep(_INTERVAL)


def _try(folder: Path) -> int | None:
    """The open lock, or None where another has it."""
    if folder.is_symlink() or not _is_ours(folder):
        raise BundleError(f"{folder} is in the way, and none of rnn-export's. Move it elsewhere.")
    with suppress(FileExistsError):
        folder.mkdir()
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:  # who had it has removed the folder in between
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), (folder / LOCK).stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _is_ours(folder: Path) -> bool:
    """Whether it has our lock, is empty, or is not there; looked up at once, for others come and go."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False
    return not names or LOCK in names


def _remove_half_written(folder: Path) -> None:
    for path in folder.glob(f"{HALF_WRITTEN}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
