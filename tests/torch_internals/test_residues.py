"""Bounds of quotients and remainders of a size, against the values themselves."""

from __future__ import annotations

import pytest
import sympy
from rnn_export.torch_internals.residues import bounds_by_residue
from torch.utils._sympy.functions import FloorDiv, Min, PythonMod

T = sympy.Symbol("T", integer=True, positive=True)
PADDED = T + PythonMod(4 - PythonMod(T, 4), 4)

EXPRESSIONS = [
    PythonMod(T, 3),
    PythonMod(PADDED, 4),
    PADDED - T,
    4 * FloorDiv(PADDED + 3, 4) - PADDED,
    4 * FloorDiv(T, 4) - T,
    FloorDiv(FloorDiv(T + 1, 2) + 1, 2) - FloorDiv(T + 3, 4),
    Min(PythonMod(T, 4), 1),
    2 * FloorDiv(T, 2) - 3 * FloorDiv(T, 3),
]


@pytest.mark.parametrize("expr", EXPRESSIONS, ids=str)
@pytest.mark.parametrize("least", [1, 2, 5])
def test_bounds_are_those_of_the_values(expr: sympy.Expr, least: int) -> None:
    values = [int(expr.subs(T, size)) for size in range(least, 200)]
    assert bounds_by_residue(expr, least) == (min(values), max(values))


def test_a_bound_that_grows_is_infinite() -> None:
    assert bounds_by_residue(FloorDiv(T, 4), 5) == (1, sympy.oo)
    assert bounds_by_residue(-PADDED, 1) == (-sympy.oo, -4)


@pytest.mark.parametrize(
    "expr", [T + 1, PythonMod(T, 1000), PythonMod(T * T, 4), PythonMod(T, sympy.Symbol("N"))], ids=str
)
def test_of_another_kind_nothing_is_said(expr: sympy.Expr) -> None:
    assert bounds_by_residue(expr, 1) is None
