"""Record the decisions that a capture makes by a size, each with the line of the user's source that asked for it.

`if x.size(1) % 2:` and `range(len(x))` need a plain truth value or number, so PyTorch takes the example's. At times its
own code does the same, to choose between two ways to compute one result; those are not the model's decisions.

PyTorch's log is the one place that tells which: a record is written while the asking frame is still on the stack. The
guards of the shape environment say what was decided, but neither at which line nor who asked, and are out of
reach when `torch.export` raises.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from ..pytorch.source_lines import current_line, is_check, is_users
from ..torch_internals.capture import DECIDED, SHAPE_LOGGER, SPECIALIZED
from ..torch_internals.modules import exclusive
from .as_eager import Questions
from .squeezes import Squeezes

# The methods by which Python asks a symbolic size for a plain value.
_CONVERSIONS = {"__bool__", "__int__", "__index__", "__len__", "__iter__"}


# A size that is computed from others, and no remainder: `Eq(s27 - 4, 1)`.
_COLLAPSED = re.compile(r"Eq\((?!(?:Python)?Mod\(|\w+, ).*, [01]\)$")


@dataclass(frozen=True)
class Decision:
    """An expression that was taken to be true, the line that asked, and whether that line is the user's own code."""

    expression: str
    line: str
    is_users: bool


@dataclass
class Decisions(logging.Handler):
    """The decisions of one capture; `fixed` maps each size that became a plain number to the line where it did."""

    made: list[Decision] = field(default_factory=list)
    fixed: dict[int, str] = field(default_factory=dict)
    squeezes: Squeezes = field(default_factory=Squeezes)
    questions: Questions = field(default_factory=Questions)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def specialized_at(self) -> str:
        """The line at which the first size became, or was taken to equal, a plain number; empty if not known."""
        equal = [decision.line for decision in self.made if decision.expression.startswith("Eq(")]
        return next(iter([*self.fixed.values(), *equal]), "")

    @property
    def collapsed(self) -> bool:
        """Whether a computed size was taken to be 0 or 1, which larger sizes of the example may not be."""
        return any(_COLLAPSED.match(decision.expression) for decision in self.made)

    @property
    def branch(self) -> str:
        """The line of the first decision of the user's own code that leads somewhere else; empty where there is none.

        What a check refuses PyTorch does not compute either.
        """
        return next((made.line for made in self._branches), "")

    @property
    def branch_of_any_example(self) -> str:
        """The same, if the decision is whether sizes are equal, which no bounds of the sizes decide."""
        equal = (made.line for made in self._branches if made.expression.startswith(("Eq(", "Ne(")))
        return next(equal, "")

    @property
    def _branches(self) -> Iterator[Decision]:
        return (made for made in self.made if made.is_users and not _is_check(made.line))

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if match := DECIDED.match(message):
            self.made.append(Decision(match[1], current_line(), _is_asked_by_user()))
        elif match := SPECIALIZED.match(message):
            self.fixed.setdefault(int(match[1]), current_line())

    __hash__ = logging.Handler.__hash__


@contextmanager
def record_decisions() -> Iterator[Decisions]:
    """Record what `torch.export` decides within the block, exclusive; other handlers of its log see nothing of it."""
    with exclusive():
        logger, decisions = logging.getLogger(SHAPE_LOGGER), Decisions()
        before = (logger.level, logger.propagate, logger.handlers)
        logger.handlers = [decisions]
        logger.propagate = False
        logger.setLevel(logging.INFO)
        try:
            yield decisions
        finally:
            level, logger.propagate, logger.handlers = before
            logger.setLevel(level)


def _is_asked_by_user() -> bool:
    """Whether the innermost frame that asks for a plain value is the user's own code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name not in _CONVERSIONS:
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name in _CONVERSIONS:
        frame = frame.f_back
    return frame is not None and is_users(frame.f_code.co_filename)


def _is_check(line: str) -> bool:
    file, _, number = line.rpartition(":")
    return number.isdecimal() and is_check(file, int(number))
