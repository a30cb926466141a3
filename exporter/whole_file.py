"""Write a file whole, or leave what was there: on an error, a full disk or a kill nobody finds half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step; a link stays a link, and a device such as /dev/stdout is written to as it is.

    Raises:
        OSError: it cannot be written.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_mark(path: Path, mark: bytes, what: str) -> None:
    """Keep a file of another kind from being written over.

    Args:
        mark: what a file of the kind has among its first thousand bytes.
        what: the kind, for the message.

    Raises:
        InputError: there is a file without the mark.
        OSError: it cannot be read.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        begin = file.read(1_000)
    if begin and mark not in begin:
        raise InputError(f"{path} is no {what}, and is left alone. Give another place for the {what}.")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
