"""What follows from a relation of sizes that is taken for true: simpler ones, and the least and greatest size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import sympy

from ...torch_internals.symbols import INFINITY, WHOLE_QUOTIENTS

# The least and the greatest value of some symbols.
Limits = dict[sympy.Symbol, tuple[Any, Any]]


def holding(relation: Any) -> Iterator[Any]:
    """A relation, or the parts of a conjunction."""
    if isinstance(relation, sympy.And):
        for part in relation.args:
            yield from holding(part)
    elif isinstance(relation, sympy.Not) and isinstance(relation.args[0], sympy.Or):
        for part in relation.args[0].args:
            yield from holding(sympy.Not(part))
    else:
        yield relation


def narrowed(facts: Iterable[Any]) -> Limits:
    """The limits of the sizes that these relations bound, each at least 1."""
    found: Limits = {}
    for fact in facts:
        for symbol, low, high in _limits(fact):
            known = found.get(symbol, (sympy.Integer(1), INFINITY))
            found[symbol] = (max(known[0], low), min(known[1], INFINITY if high == sympy.oo else high))
    return found


def limits_of(relation: Any) -> dict[sympy.Symbol, set[int]]:
    """The sizes at either side of which a relation, or a part of it, is another one: 12 and 13 of `T > 12`."""
    found: dict[sympy.Symbol, set[int]] = {}
    for part in relation.atoms(sympy.core.relational.Relational):
        for symbol, (low, high) in [*narrowed([part]).items(), *narrowed([sympy.Not(part)]).items()]:
            found.setdefault(symbol, set()).update(int(size) for size in (low, high) if 1 < size < INFINITY)
    return found


def _limits(fact: Any) -> Iterator[tuple[sympy.Symbol, Any, Any]]:
    """What a relation `a < b` says of the one size in it, if it can be solved for it."""
    if not isinstance(fact, (sympy.Lt, sympy.Le, sympy.Gt, sympy.Ge, sympy.Eq)) or len(fact.free_symbols) != 1:
        return
    difference = sympy.expand(fact.lhs - fact.rhs)
    if isinstance(fact, (sympy.Gt, sympy.Ge, sympy.Eq)):
        yield from _solved(difference, 1 if isinstance(fact, sympy.Gt) else 0, sympy.oo)
    if isinstance(fact, (sympy.Lt, sympy.Le, sympy.Eq)):
        yield from _solved(difference, -sympy.oo, -1 if isinstance(fact, sympy.Lt) else 0)


def _solved(expr: Any, low: Any, high: Any) -> Iterator[tuple[sympy.Symbol, Any, Any]]:
    """The limits of the size from which a whole number between these limits is computed."""
    if expr.is_Symbol:
        yield expr, low, high
    elif isinstance(expr, WHOLE_QUOTIENTS) and expr.args[1].is_Integer and expr.args[1] > 0:
        divided, by = expr.args
        yield from _solved(divided, low * by, high * by + by - 1)
    elif isinstance(expr, (sympy.Add, sympy.Mul)):
        number, rest = expr.as_coeff_Add() if isinstance(expr, sympy.Add) else expr.as_coeff_Mul()
        if number in (0, 1) or not number.is_Integer:
            return
        if isinstance(expr, sympy.Add):
            yield from _solved(rest, low - number, high - number)
        elif number > 0:
            yield from _solved(rest, sympy.ceiling(low / number), sympy.floor(high / number))
        else:
            yield from _solved(rest, sympy.ceiling(high / number), sympy.floor(low / number))
