"""Sparing an export the parsing of 500 functions: PyTorch lists its translations by domain, onnxscript parses for it.

That list takes 0.4 s of a second that the rest of an export's translation takes, every time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onnxscript.values import TracedOnnxFunction

_NAME = "function_ir"
_PARSED = vars(TracedOnnxFunction)[_NAME]


class _Unparsed:
    """A function whose domain is known, and whose source is parsed when anything else is asked for."""

    def __init__(self, function: TracedOnnxFunction) -> None:
        self._function = function
        self.domain = function.opset.domain

    def __getattr__(self, name: str) -> Any:
        return getattr(_PARSED.__get__(self._function), name)


@contextmanager
def unparsed() -> Iterator[None]:
    """Within the block onnxscript's traced functions are parsed no sooner than needed; restored afterwards."""
    setattr(TracedOnnxFunction, _NAME, property(_Unparsed))
    try:
        yield
    finally:
        setattr(TracedOnnxFunction, _NAME, _PARSED)
