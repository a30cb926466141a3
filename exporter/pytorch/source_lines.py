"""Which line of the user's source an error, or a node of a captured graph, comes from: what `at model.py:12` says."""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import torch
from torch.fx import Node

Place = tuple[str, int]
_OWN = Path(__file__).resolve().parents[1]
_TORCH = Path(torch.__file__).resolve().parent
_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_EXPORT = _TORCH / "export" / "__init__.py"

# What is raised in these is never in the user's line.
_BESIDE_TORCH = tuple(_TORCH.parent / name for name in ("numpy", "onnx", "onnxscript", "onnx_ir", "onnxruntime"))
_STACK_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def user_line(error: BaseException) -> str:
    """`file.py:12`, the innermost line of the user's source that an error passed through; empty where there is none.

    Where the error has no such line, those that it was raised from are asked.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = traceback.extract_tb(current.__traceback__)
        if found := _innermost((frame.filename, frame.lineno or 0) for frame in frames):
            return found
        current = current.__cause__ or current.__context__
    return ""


def node_line(node: Node) -> str:
    """`file.py:12`, the line of the user's source that a captured node comes from; empty where that is not known."""
    return stack_line(node.meta.get("stack_trace") or "")


def stack_line(stack_trace: str) -> str:
    """The same for the text of a stack, outermost line first, as PyTorch keeps it."""
    return _innermost((file, int(line)) for file, line in _STACK_LINE.findall(stack_trace))


def current_line() -> str:
    """The innermost line of the user's source that is being run just now; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)
    places: list[Place] = []
    while frame is not None:
        places.insert(0, (frame.f_code.co_filename, frame.f_lineno))
        # What called us is no longer the model's.
        frame = None if places[0][0] == str(_EXPORT) else frame.f_back
    return _innermost(places)


def at(line: str) -> str:
    """`" at model.py:12"`, to be put into a sentence; empty where the line is not known."""
    return f" at {line}" if line else ""


def _innermost(places: Iterable[Place]) -> str:
    """The last of the user's own places, outermost first; else the last in a package that the user installed."""
    users = [place for place in places if is_users(place[0])]
    own = [place for place in users if "site-packages" not in Path(place[0]).parts]
    return _spelled(*(own or users)[-1]) if users else ""


def is_users(file: str) -> bool:
    """Whether a file is neither PyTorch's, nor the standard library's, nor our own."""
    if file.startswith("<"):
        return False
    path = Path(file).resolve()
    if path.is_relative_to(_OWN):
        return path.is_relative_to(_OWN / "models")
    installed = "site-packages" in path.parts
    return not any(path.is_relative_to(place) for place in (_TORCH, *_BESIDE_TORCH)) and (
        installed or not path.is_relative_to(_LIBRARY)
    )


def _spelled(file: str, line: int) -> str:
    """Relative where the file lies in the working directory."""
    path = Path(file).resolve()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{line}"
