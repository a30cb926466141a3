"""Evaluate what a function's source computes of plain values: `self.width**2`, `self.config.limit`."""

from __future__ import annotations

import ast
import linecache
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import FrameType
from typing import Any

from torch import Tensor

# Anything that calls, writes or waits is left alone, and so are products of matrices.
_LEFT_ALONE = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Lambda, ast.MatMult, ast.comprehension)


def computed_values(frame: FrameType) -> Iterator[Any]:
    """The values of the sums, products, powers and attributes in a function that is about to return.

    Only of plain values: an expression that names a tensor is left alone. A property of the user's runs once more.
    """
    code = frame.f_code
    lines = [line for _, _, line in code.co_lines() if line is not None]
    if not lines:
        return
    names: Mapping[str, Any] = {**frame.f_globals, **frame.f_locals}
    for expression in _expressions(code.co_filename, min(lines), max(lines)):
        used = [names.get(node.id) for node in ast.walk(expression) if isinstance(node, ast.Name)]
        if any(isinstance(value, Tensor) for value in used):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield eval(compile(ast.Expression(expression), code.co_filename, "eval"), dict(names))
        except Exception:  # names of another scope, or values that do not go together
            continue


@lru_cache(maxsize=256)
def _expressions(file: str, first: int, last: int) -> tuple[ast.expr, ...]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ()
    return tuple(
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.BinOp, ast.Attribute))
        and first <= node.lineno <= last
        and not any(isinstance(each, _LEFT_ALONE) for each in ast.walk(node))
        and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    )
