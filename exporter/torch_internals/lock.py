"""The one lock of the process, held while anything global is replaced, so that two threads can export at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOCK = threading.RLock()


@contextmanager
def exclusive() -> Iterator[None]:
    """Within the block no other thread is in such a block; blocks of one thread may be nested."""
    with _LOCK:
        yield


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within the block attribute `name` of a class or module is `value`; exclusive, and restored afterwards."""
    with exclusive():
        # Not getattr, which would turn a property or a classmethod into what it returns.
        original = vars(owner)[name]
        setattr(owner, name, value)
        try:
            yield
        finally:
            setattr(owner, name, original)
