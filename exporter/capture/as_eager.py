"""Answer the model's own code as eager PyTorch does when it asks whether it is being captured.

Code that asks takes another way through its model then, which is often slower (a loop over rows in place of a
triangular solve), and what verification compares with is the way that eager takes. PyTorch itself is told the truth,
and so is code that decides by a size, or does what no capture can, where it believes that nothing captures it.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

from ..pytorch.source_lines import is_users, spelled
from ..torch_internals.capture import capture_questions
from ..torch_internals.modules import patched

# Rewritten code calls through these.
_BETWEEN = str(Path(__file__).parent / "control_flow")

# The lines that ask: of a question, often in a helper, and of what called that.
Lines = tuple[str, ...]


@dataclass
class Questions:
    """What the model's code has asked: the functions that did, by the lines; `truly`: those that are told the truth."""

    asked: dict[Lines, list[CodeType]] = field(default_factory=dict)
    truly: set[Lines] = field(default_factory=set)

    def tell(self, troubled: Iterable[str]) -> None:
        """Tell the truth to functions that have one of these lines, unless it begins a loop."""
        lines_of_trouble = [line for line in troubled if not _is_loop(line)]
        for lines, codes in self.asked.items():
            if any(_is_within(code, line) for code in codes for line in lines_of_trouble):
                self.truly.add(lines)

    def answer(self) -> bool:
        """What a question is answered that is true."""
        frames = _askers(sys._getframe(2))
        if not frames or not is_users(frames[0].f_code.co_filename):
            return True
        lines = tuple(spelled(frame.f_code.co_filename, frame.f_lineno) for frame in frames)
        self.asked.setdefault(lines, [frame.f_code for frame in frames])
        return lines in self.truly


@contextmanager
def answering_as_eager(questions: Questions) -> Iterator[None]:
    """Within the block the model's code is told that nothing captures it; exclusive, restored afterwards."""
    with ExitStack() as stack:
        for owner, name in capture_questions():
            stack.enter_context(patched(owner, name, _answering(vars(owner)[name], questions)))
        yield


def _answering(truly: Callable[[], bool], questions: Questions) -> Callable[[], bool]:
    return lambda: truly() and questions.answer()


def _askers(frame: FrameType | None) -> list[FrameType]:
    """The two innermost functions that ask."""
    found: list[FrameType] = []
    while frame is not None and len(found) < 2:
        if not frame.f_code.co_filename.startswith(_BETWEEN):
            found.append(frame)
        frame = frame.f_back
    return found


def _is_within(code: CodeType, line: str) -> bool:
    file, _, number = line.rpartition(":")
    last = max(at for _, _, at in code.co_lines() if at is not None)
    return (
        number.isdecimal()
        and spelled(code.co_filename, code.co_firstlineno).rpartition(":")[0] == file
        and (code.co_firstlineno <= int(number) <= last)
    )


def _is_loop(line: str) -> bool:
    """Whether a line begins a loop, which is the model's whichever way it goes."""
    file, _, number = line.rpartition(":")
    return number.isdecimal() and linecache.getline(file, int(number)).lstrip().startswith(("for ", "while "))
