"""Find the line of the user's source that an error or a captured node comes from, as in `at model.py:12`."""

from __future__ import annotations

import ast
import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import FrameType

import torch
from torch.fx import Node

from .generated_source import Place, generated_from, is_generated, origin

_OWN = Path(__file__).resolve().parents[1]
_TORCH = Path(torch.__file__).resolve().parent
_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()

# Beyond these are our callers, not the model.
_CALLERS = {str(_TORCH / "export" / "__init__.py"), str(_OWN / "pytorch" / "run.py")}

# No line in these is the user's.
_BESIDE_TORCH = tuple(_TORCH.parent / name for name in ("numpy", "onnx", "onnxscript", "onnx_ir", "onnxruntime"))
_STACK_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def user_line(error: BaseException) -> str:
    """`file.py:12`, the innermost line of the user's source that an error passed through; empty if there is none.

    If the error has no such line, it is taken from its causes.
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
    """`file.py:12`, the line of the user's source that a captured node comes from; empty if not known."""
    return stack_line(node.meta.get("stack_trace") or "")


def stack_line(stack_trace: str) -> str:
    """The same for a stack as text, outermost line first, as PyTorch keeps it."""
    return _innermost((file, int(line)) for file, line in _STACK_LINE.findall(stack_trace))


def current_line() -> str:
    """The innermost line of the user's source that is now running; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    places: list[Place] = []
    while frame is not None:
        places.insert(0, (frame.f_code.co_filename, frame.f_lineno))
        frame = None if places[0][0] in _CALLERS else frame.f_back
    return _innermost(places)


def at(line: str) -> str:
    """`" at model.py:12"` for a sentence; empty if the line is not known."""
    return f" at {line}" if line else ""


def _innermost(places: Iterable[Place]) -> str:
    """The last place in the user's own files, else the last in an installed package; places are outermost first."""
    known = [origin(*place) for place in places]
    users = [place for place in known if is_users(place[0])]
    own = [place for place in users if "site-packages" not in Path(place[0]).parts]
    return spelled(*(own or users)[-1]) if users else ""


def is_users(file: str) -> bool:
    """Whether a file belongs neither to PyTorch and ONNX, nor to the standard library, nor to this package."""
    if file.startswith("<") or is_generated(file):
        return is_generated(file)
    return _is_users(file, Path.cwd())


@lru_cache(maxsize=4096)  # asked for each frame of each decision and each node, and a path is resolved on the disk
def _is_users(file: str, folder: Path) -> bool:
    path = (folder / file).resolve()
    if path.is_relative_to(_OWN):
        return path.is_relative_to(_OWN / "models")
    installed = "site-packages" in path.parts
    return not any(path.is_relative_to(place) for place in (_TORCH, *_BESIDE_TORCH)) and (
        installed or not path.is_relative_to(_LIBRARY)
    )


def spelled(file: str, line: int) -> str:
    """`file:line`, relative to the working directory if the file is in it."""
    file, line = origin(file, line)
    path = Path(file).resolve()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{line}"


def is_check(file: str, line: int) -> bool:
    """Whether the condition at a line lets go on or raises: that of `assert`, or of an `if` of which one way raises."""
    generated = generated_from((file, line))
    asking = [each for each in generated if linecache.getline(*each).lstrip().startswith(("if ", "while "))]
    return bool(asking) and all(_is_check(*each) for each in asking) if generated else _is_check(file, line)


def _is_check(file: str, line: int) -> bool:
    return line in _checked_lines("".join(linecache.getlines(file)))


@lru_cache(maxsize=64)
def _checked_lines(source: str) -> frozenset[int]:
    """The lines of conditions that let go on or raise."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return frozenset()
    checks = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) or (isinstance(node, ast.If) and (_raises(node.body) or _raises(node.orelse)))
    ]
    return frozenset(line for node in checks for line in range(node.lineno, (node.test.end_lineno or node.lineno) + 1))


def _raises(body: list[ast.stmt]) -> bool:
    """Whether these statements end in `raise`, and nothing before it leads elsewhere."""
    simple = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr)
    return bool(body) and isinstance(body[-1], ast.Raise) and all(isinstance(each, simple) for each in body[:-1])
