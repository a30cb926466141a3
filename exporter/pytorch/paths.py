"""Find the line at which a model's code takes another path for one input than for another."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import CodeType, FrameType
from typing import Any

from torch import Tensor, nn

from .run import run_eager
from .source_lines import is_users, spelled

Step = tuple[CodeType, int]


def other_path(model: nn.Module, usual: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """`file.py:12`, where a run with `other` inputs does what one with the usual ones does not; empty if nowhere."""
    before, after = _steps(model, usual), _steps(model, other)
    new = [line for step, line in after.items() if step not in before]
    left = [line for step, line in before.items() if step not in after]
    return next(iter([*new, *left]), "")


def _steps(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[Step, str]:
    """The instructions of the user's code that a run comes to, in order, with their lines."""
    found: dict[Step, str] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if event == "call":
            if not is_users(frame.f_code.co_filename):
                return None
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            step = (frame.f_code, frame.f_lasti)
            if step not in found and frame.f_lineno is not None:
                found[step] = spelled(frame.f_code.co_filename, frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run_eager(model, tensors)
    except Exception:  # what ran until the model's forward raised is a path too
        pass
    finally:
        sys.settrace(before)
    return found
