"""Whole numbers from quotients of sizes: what `int`, `math.floor`, `math.ceil` and `round` make of `T / 2`.

A quotient is computed in whole numbers, which PyTorch can follow and which are exact at every size. So may a graph: of
what is not a whole number, the nearest is at least `1 / denominator` away, which no rounding of Python's bridges.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import sympy
import torch
from torch import SymFloat, SymInt

from ...torch_internals.symbols import QUOTIENTS, TO_FLOAT, expression, number_of
from .doublings import bit_length, logarithm_of
from .numbers import Ranges, is_symbolic

# The finest fraction that counts as one: 0.75, but not 0.1, which is none of tenths in floating point.
_FINEST = 1024


def rounding_functions(ranges: Ranges) -> dict[Any, Callable[..., Any]]:
    """What is called in place of Python's functions that make whole numbers, and of numpy's."""
    return {
        math.floor: functools.partial(_of_symbolic, math.floor, floored),
        math.ceil: functools.partial(_of_symbolic, math.ceil, ceiled),
        math.trunc: functools.partial(_of_symbolic, math.trunc, lambda value: truncated(value, ranges)),
        round: functools.partial(_of_symbolic, round, rounded),
        np.floor: functools.partial(_of_symbolic, np.floor, lambda value: torch.sym_float(floored(value))),
        np.ceil: functools.partial(_of_symbolic, np.ceil, lambda value: torch.sym_float(ceiled(value))),
        np.round: functools.partial(_of_symbolic, np.round, lambda value: torch.sym_float(rounded(value))),
    }


def _of_symbolic(plain: Callable[..., Any], symbolic: Callable[[Any], Any], value: Any, *others: Any) -> Any:
    is_known = not isinstance(value, (SymInt, SymFloat)) or not is_symbolic(value)
    return plain(value, *others) if is_known or others else symbolic(value)


def truncated(value: Any, ranges: Ranges) -> Any:
    """`int(value)` of a symbolic number."""
    doubled = logarithm_of(value)
    if doubled is not None:
        return bit_length(doubled) - 1
    parts = _fraction(value)
    return torch.sym_int(value) if parts is None or not ranges.at_least(parts[0], 0) else parts[0] // parts[1]


def floored(value: Any) -> Any:
    """`math.floor(value)` of a symbolic number."""
    doubled = logarithm_of(value)
    if doubled is not None:
        return bit_length(doubled) - 1
    parts = _fraction(value)
    return torch.sym_int(value.__floor__()) if parts is None else parts[0] // parts[1]


def ceiled(value: Any) -> Any:
    """`math.ceil(value)` of a symbolic number."""
    doubled = logarithm_of(value)
    if doubled is not None:
        return bit_length(doubled - 1)
    parts = _fraction(value)
    return torch.sym_int(value.__ceil__()) if parts is None else (parts[0] + (parts[1] - 1)) // parts[1]


def rounded(value: Any) -> Any:
    """`round(value)` of a symbolic number: from the middle between two to the even one."""
    parts = _fraction(value)
    if parts is None:
        return torch.sym_int(value.__round__())
    above, below = 2 * parts[0] + parts[1], 2 * parts[1]
    nearest = above // below
    is_between = 1 - torch.sym_min(above % below, 1)
    return nearest - is_between * (nearest % 2)


def _fraction(value: Any) -> tuple[Any, Any] | None:
    """Two whole numbers whose quotient a value is, the second of them positive; None where it is no such quotient."""
    if isinstance(value, SymInt):
        return value, 1
    found = _over(expression(value))
    return None if found is None else (number_of(found[0]), number_of(found[1]))


Parts = tuple[Any, Any]


def _over(expr: Any) -> Parts | None:
    if isinstance(expr, sympy.Float):
        exact = Fraction(float(expr))
        return (
            (sympy.Integer(exact.numerator), sympy.Integer(exact.denominator)) if exact.denominator <= _FINEST else None
        )
    if expr.is_integer:
        return expr, sympy.Integer(1)
    parts = [_over(arg) for arg in expr.args]
    combine = _COMBINED.get(type(expr))
    if combine is None or any(part is None for part in parts):
        return None
    found: Parts | None = functools.reduce(combine, parts)
    return found


def _sum(a: Parts, b: Parts) -> Parts:
    return (a[0] + b[0], a[1]) if a[1] == b[1] else (a[0] * b[1] + b[0] * a[1], a[1] * b[1])


def _product(a: Parts, b: Parts) -> Parts:
    return a[0] * b[0], a[1] * b[1]


def _quotient(a: Parts, b: Parts) -> Parts | None:
    return (a[0] * b[1], a[1] * b[0]) if b[0].is_positive else None


_COMBINED: dict[Any, Callable[..., Any]] = {
    sympy.Add: _sum,
    sympy.Mul: _product,
    TO_FLOAT: lambda value: value,
    **dict.fromkeys(QUOTIENTS, _quotient),
}
