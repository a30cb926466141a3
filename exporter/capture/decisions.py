"""What a capture decided by a size, and where in the user's source: PyTorch says it in its log, and nowhere else.

`if x.size(1) % 2:` and `range(len(x))` need a plain truth or number, so PyTorch takes the example's. So does its own
code at times, to choose between two ways to compute the same; those are not the model's decisions.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from ..pytorch.source_lines import current_line, is_users

_LOGGER = "torch.fx.experimental.symbolic_shapes"
_DECIDED = re.compile(r"eval (?!\[guard suppressed\])(.+) \[guard added\]")
_FIXED = re.compile(r"set_replacement \w+ = (\d+) ")

# How Python asks for a truth or a number, on the way from the user's line to PyTorch's log.
_ASKS = {"__bool__", "__int__", "__index__", "__len__", "__iter__"}


@dataclass(frozen=True)
class Decision:
    """An expression that was taken to be true, the line at which, and whether the user's own code asked for it."""

    expression: str
    line: str
    is_users: bool


@dataclass
class Decisions(logging.Handler):
    """What one capture decided; `fixed` says, per size that became a plain number, at which line it did."""

    made: list[Decision] = field(default_factory=list)
    fixed: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def specialized_at(self) -> str:
        """The line at which the first size became a plain number, or was taken to equal one; empty if not known."""
        equal = [decision.line for decision in self.made if decision.expression.startswith("Eq(")]
        return next(iter([*self.fixed.values(), *equal]), "")

    @property
    def branch(self) -> str:
        """The line of the first decision by the user's own code; empty where there is none."""
        return next((decision.line for decision in self.made if decision.is_users), "")

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if match := _DECIDED.match(message):
            self.made.append(Decision(match[1], current_line(), _is_asked_by_user()))
        elif match := _FIXED.match(message):
            self.fixed.setdefault(int(match[1]), current_line())

    __hash__ = logging.Handler.__hash__


@contextmanager
def deciding() -> Iterator[Decisions]:
    """Collect what `torch.export` decides within the block; nothing of it reaches other logs."""
    logger, decisions = logging.getLogger(_LOGGER), Decisions()
    before = (logger.level, logger.propagate, logger.handlers)
    logger.handlers = [decisions]
    logger.propagate = False
    logger.setLevel(logging.INFO)
    try:
        yield decisions
    finally:
        logger.level, logger.propagate, logger.handlers = before
        logger.setLevel(before[0])


def _is_asked_by_user() -> bool:
    """Whether what asks for a plain value, innermost, is asked by the user's own line."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name not in _ASKS:
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name in _ASKS:
        frame = frame.f_back
    return frame is not None and is_users(frame.f_code.co_filename)
