"""Where a trace took what holds for its example for what holds always, from the warnings of PyTorch's tracer."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ..pytorch.source_lines import is_check
from ..torch_internals.modules import TracerWarning

# How the tracer begins when the code turns a traced value into a plain one; its other warnings are of constants that
# the code itself made, and of writing to views.
_DECIDED = ("Converting a tensor to", "Iterating over a tensor", "Using len to get tensor shape")
Place = tuple[str, int]
_TORCH = Path(torch.__file__).resolve().parent
_BETWEEN = (_TORCH / "_tensor.py", _TORCH / "overrides.py")
_OWN = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class TraceDecisions:
    """`fixed` are the places, as file:line, where the trace took one value for all inputs; `unchecked` those where the
    code only checks its inputs, by `assert` or `if ...: raise`, which the trace leaves out."""

    fixed: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()


NO_DECISIONS = TraceDecisions()


@contextmanager
def recording_decisions() -> Iterator[Callable[[], TraceDecisions]]:
    """Note the tracer's warnings within the block; yields what tells the decisions made until then.

    PyTorch's own modules are left out: they are written to be traced.
    """
    found: set[Place] = set()

    def note(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any, **__: Any) -> None:
        if issubclass(category, TracerWarning) and str(message).startswith(_DECIDED):
            file, line = _asking(filename, lineno) if _asks_for_others(filename) else (filename, lineno)
            if not Path(file).resolve().is_relative_to(_TORCH):
                found.add((file, line))

    with warnings.catch_warnings():
        warnings.simplefilter("always", TracerWarning)
        warnings.showwarning = note
        yield lambda: _sorted_out(found)


def _asks_for_others(file: str) -> bool:
    """Whether code asks on behalf of its callers: the methods of a tensor, and what stands before functions."""
    path = Path(file).resolve()
    return path in _BETWEEN or (path.is_relative_to(_OWN) and not path.is_relative_to(_OWN / "models"))


def _asking(file: str, line: int) -> Place:
    """The place that asks, of a running one that may ask on behalf of it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (frame.f_code.co_filename, frame.f_lineno) != (file, line):
        frame = frame.f_back
    while frame is not None and _asks_for_others(frame.f_code.co_filename):
        frame = frame.f_back
    return (file, line) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def _sorted_out(found: set[Place]) -> TraceDecisions:
    checks = {place for place in found if is_check(*place)}
    return TraceDecisions(_spelled(found - checks), _spelled(checks))


def _spelled(places: set[Place]) -> tuple[str, ...]:
    return tuple(f"{file}:{line}" for file, line in sorted(places))
