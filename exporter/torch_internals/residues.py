"""Bounds of what is computed from one size with quotients and remainders, such as a length padded to a multiple.

With T = 4 q + r each quotient and remainder by 4 is linear in q, for each of the four r.
"""

from __future__ import annotations

from collections.abc import Callable
from math import lcm
from typing import Any

import sympy
from torch.utils._sympy.functions import CleanDiv, FloorDiv, Max, Min, Mod, PythonMod

_MOST_RESIDUES = 64

_Linear = tuple[int, int]


def bounds_by_residue(expr: Any, least: int) -> tuple[Any, Any] | None:
    """The least and greatest value for a size from `least` on; None if the expression is of another kind."""
    divisors = [node.args[1] for node in expr.atoms(FloorDiv, CleanDiv, Mod, PythonMod)]
    symbols = list(expr.free_symbols)
    if not divisors or len(symbols) != 1 or not all(each.is_Integer and each > 0 for each in divisors):
        return None
    modulus = lcm(*map(int, divisors))
    if modulus > _MOST_RESIDUES:
        return None
    # Quotients of quotients divide by more than each of them does.
    for period in (modulus, modulus**2):
        lines = [_linear(expr, symbols[0], period, rest) for rest in range(period)] if period <= _MOST_RESIDUES else []
        if lines and None not in lines:
            ends = [_ends(line, -((rest - least) // period)) for rest, line in enumerate(lines) if line is not None]
            return min(low for low, _ in ends), max(high for _, high in ends)
    return None


def _ends(line: _Linear, first: int) -> tuple[Any, Any]:
    """The least and greatest value of a line from a whole number on."""
    slope, offset = line
    value = slope * first + offset
    return (-sympy.oo if slope < 0 else value), (sympy.oo if slope > 0 else value)


def _linear(expr: Any, symbol: Any, period: int, rest: int) -> _Linear | None:
    """An expression of `symbol = period * q + rest` as a multiple of q and a number; None if it is not that."""
    if expr == symbol:
        return period, rest
    if expr.is_Integer:
        return 0, int(expr)
    parts = [_linear(part, symbol, period, rest) for part in expr.args]
    if not parts or None in parts:
        return None
    rule = _RULES.get(type(expr))
    return None if rule is None else rule([part for part in parts if part is not None])


def _sum(terms: list[_Linear]) -> _Linear:
    return sum(slope for slope, _ in terms), sum(offset for _, offset in terms)


def _product(factors: list[_Linear]) -> _Linear | None:
    slope, offset = 0, 1
    for other_slope, other_offset in factors:
        if slope and other_slope:
            return None
        slope, offset = slope * other_offset + other_slope * offset, offset * other_offset
    return slope, offset


def _quotient(parts: list[_Linear]) -> _Linear | None:
    (slope, offset), (_, divisor) = parts
    return None if slope % divisor else (slope // divisor, offset // divisor)


def _remainder(parts: list[_Linear]) -> _Linear | None:
    (slope, offset), (_, divisor) = parts
    return None if slope % divisor else (0, offset % divisor)


def _least(parts: list[_Linear]) -> _Linear | None:
    return None if any(slope for slope, _ in parts) else (0, min(offset for _, offset in parts))


def _greatest(parts: list[_Linear]) -> _Linear | None:
    return None if any(slope for slope, _ in parts) else (0, max(offset for _, offset in parts))


_RULES: dict[type, Callable[[list[_Linear]], _Linear | None]] = {
    sympy.Add: _sum,
    sympy.Mul: _product,
    FloorDiv: _quotient,
    CleanDiv: _quotient,
    Mod: _remainder,
    PythonMod: _remainder,
    Min: _least,
    Max: _greatest,
}
