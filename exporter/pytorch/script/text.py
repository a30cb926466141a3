"""Python text: constants, parentheses where they are needed, and conditions turned round."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

import torch

from ...errors import LoadError

_COMPOUND = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp)


def literal(constant: Any) -> str:
    """A constant of TorchScript as Python writes it.

    Raises:
        LoadError: it is none that can be written.
    """
    if constant is None or isinstance(constant, (bool, int, str)):
        return repr(constant)
    if isinstance(constant, float):
        return repr(constant) if math.isfinite(constant) else f"float({str(constant)!r})"
    if isinstance(constant, torch.device):
        return f"torch.device({str(constant)!r})"
    return _container(constant)


def _container(constant: Any) -> str:
    if isinstance(constant, list):
        return f"[{', '.join(map(literal, constant))}]"
    if isinstance(constant, tuple):
        return f"({', '.join(map(literal, constant))}{',' * (len(constant) == 1)})"
    if isinstance(constant, Mapping):
        return f"{{{', '.join(f'{literal(key)}: {literal(value)}' for key, value in constant.items())}}}"
    raise LoadError(
        f"The TorchScript holds a constant {type(constant).__name__}, which cannot be exported to ONNX. "
        "Give the Python module that it was made from."
    )


def grouped(text: str) -> str:
    """An expression as it may stand within another one."""
    body = ast.parse(text, mode="eval").body
    negative = isinstance(body, ast.UnaryOp) and isinstance(body.operand, ast.Constant)
    return f"({text})" if isinstance(body, _COMPOUND) and not negative else text


def without_bool(text: str) -> str:
    """`x` for `bool(x)`, where its truth alone is asked for."""
    body = ast.parse(text, mode="eval").body
    called = isinstance(body, ast.Call) and isinstance(body.func, ast.Name) and body.func.id == "bool"
    return text[len("bool(") : -1] if called else text


def negated(condition: str) -> str:
    """`not condition`, or what a condition denies."""
    body = ast.parse(condition, mode="eval").body
    if isinstance(body, ast.UnaryOp) and isinstance(body.op, ast.Not):
        return ast.unparse(body.operand)
    return f"not {grouped(condition)}"


def tidy(text: str) -> str:
    """A statement, or the first line of a compound one, without the parentheses that it does not need."""
    if text.startswith(("else:", "def ")):
        return text
    compound = text.endswith(":")
    written = ast.unparse(ast.parse(f"{text} pass" if compound else text))
    return written.partition("\n")[0] if compound else written
