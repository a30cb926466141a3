"""Sizes that follow from others, such as `12*(T-4)`: whole numbers, names, `+`, `-`, `*`, `//` and parentheses.

`H/2` says besides that H is a multiple of 2; `signature.with_whole_parts` gives it a name of its own.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Mapping
from functools import lru_cache
from math import lcm
from typing import Any

from ..errors import SignatureError

# Longer ones are nobody's, and the parser's depth has an end.
_LONGEST = 80
_OPERATORS: dict[type[ast.operator], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}


def normal_size(text: str) -> str | int:
    """A size without spaces and needless parentheses, or the number that it is.

    Raises:
        SignatureError: it is no expression of names and whole numbers.
    """
    tree = _tree(text)
    if _names(tree):
        return ast.unparse(tree).replace(" ", "")
    try:
        return int(_value(tree, {}))
    except ZeroDivisionError:
        raise SignatureError(f"A size of {text} divides by 0. Give another.") from None


@lru_cache(maxsize=1024)
def names_in(text: str) -> tuple[str, ...]:
    """The names in an expression, each once, in order."""
    return tuple(dict.fromkeys(_names(_tree(text))))


def size_of(text: str, sizes: Mapping[str, Any]) -> Any:
    """The value of an expression; that of symbolic sizes is symbolic.

    Raises:
        KeyError: a name in it has no size.
        SignatureError: it divides by zero.
    """
    try:
        return _value(_tree(text), sizes)
    except ZeroDivisionError:
        raise SignatureError(f"A size of {text} divides by 0. Give other sizes.") from None


def with_sizes(text: str, sizes: Mapping[str, int]) -> str | int:
    """The expression with numbers for names that have a size here."""
    tree = ast.parse(text, mode="eval")

    class _Replace(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.Constant(sizes[node.id]) if node.id in sizes else node

    return normal_size(ast.unparse(_Replace().visit(tree)))


@lru_cache(maxsize=1024)
def slope_and_offset(text: str) -> tuple[int, int] | None:
    """`(12, -48)` for `12*(T-4)`; None where more than one name is in it, or it is no straight line upwards."""
    if len(names_in(text)) != 1:
        return None
    line = _line(_tree(text))
    return line if line is not None and line[0] > 0 else None


def _tree(text: str) -> ast.expr:
    try:
        tree = ast.parse(text.strip(), mode="eval").body if len(text) <= _LONGEST and text.isascii() else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = None
    if tree is None or not _is_size(tree):
        raise SignatureError(
            f"'{text}' is not a dimension. Use a name such as T, a positive number, or a size that follows from "
            "others, such as 12*(T-4)."
        )
    return tree


def _is_size(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Div):
        return type(node.op) in _OPERATORS and _is_size(node.left) and _is_size(node.right)
    if _is_quotient(node):
        return True
    return isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and type(node.value) is int)


def _is_quotient(node: ast.AST) -> bool:
    """Whether it is a name divided by a number above 0."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Div)
        and isinstance(node.left, ast.Name)
        and isinstance(node.right, ast.Constant)
        and type(node.right.value) is int
        and node.right.value > 0
    )


def divisors_in(text: str) -> dict[str, int]:
    """What each name is divided by, without a remainder: `{"H": 2}` for `H/2`, the least common multiple of several."""
    found: dict[str, int] = {}
    for node in filter(_is_quotient, ast.walk(_tree(text))):
        name, divisor = node.left.id, node.right.value  # type: ignore[attr-defined]
        found[name] = lcm(found.get(name, 1), divisor)
    return found


def with_parts(text: str, parts: Mapping[str, tuple[str, int]]) -> str | int:
    """The expression with `k*part` for each name whose part and number of parts are given here."""

    class _Replace(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
            if not _is_quotient(node):
                return self.generic_visit(node)  # type: ignore[return-value]
            name, divisor = node.left.id, node.right.value  # type: ignore[attr-defined]
            return _multiple(parts[name][0], parts[name][1] // divisor)

        def visit_Name(self, node: ast.Name) -> ast.expr:
            return _multiple(*parts[node.id]) if node.id in parts else node

    return normal_size(ast.unparse(_Replace().visit(_tree(text))))


def _multiple(name: str, factor: int) -> ast.expr:
    part = ast.Name(name)
    return part if factor == 1 else ast.BinOp(ast.Constant(factor), ast.Mult(), part)


def _names(node: ast.expr) -> list[str]:
    if isinstance(node, ast.BinOp):
        return [*_names(node.left), *_names(node.right)]
    return [node.id] if isinstance(node, ast.Name) else []


def _value(node: ast.expr, sizes: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_value(node.left, sizes), _value(node.right, sizes))
    return sizes[node.id] if isinstance(node, ast.Name) else node.value  # type: ignore[attr-defined]


def _line(node: ast.expr) -> tuple[int, int] | None:
    """Slope and offset."""
    if not isinstance(node, ast.BinOp):
        return (1, 0) if isinstance(node, ast.Name) else (0, node.value)  # type: ignore[attr-defined]
    left, right = _line(node.left), _line(node.right)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Mult) and 0 in (left[0], right[0]):
        return left[0] * right[1] + right[0] * left[1], left[1] * right[1]
    if isinstance(node.op, ast.FloorDiv | ast.Div):
        return None
    sign = {ast.Add: 1, ast.Sub: -1}.get(type(node.op))
    return None if sign is None else (left[0] + sign * right[0], left[1] + sign * right[1])
