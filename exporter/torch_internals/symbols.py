"""Private parts of symbolic sizes: their expressions, and the bounds of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sympy
import torch
from torch import SymInt
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.functions import FloatTrueDiv, IntTrueDiv, Max, ToFloat
from torch.utils._sympy.interp import sympy_interp
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.reference import PythonReferenceAnalysis
from torch.utils._sympy.symbol import SymT, symbol_is_type
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from .residues import bounds_by_residue

untraced = disable_proxy_modes_tracing

# The functions that stand in expressions for `/`, and for a whole number as a floating-point one.
QUOTIENTS = (IntTrueDiv, FloatTrueDiv)
TO_FLOAT = ToFloat


def expression(value: Any) -> Any:
    """The SymPy expression of a symbolic number, or of a plain one."""
    return value.node.expr if hasattr(value, "node") else sympy.sympify(value)


def where_positive(expr: Any) -> Any:
    """A simpler expression that is the same where it is positive: `T - 2` for `Max(0, T - 2)`."""
    if isinstance(expr, Max) and len(rest := [part for part in expr.args if part != 0]) == 1:
        return rest[0]
    return expr


def is_unbacked(symbol: sympy.Symbol) -> bool:
    """Whether a symbol stands for a computed value, and not for a size of an input."""
    return symbol_is_type(symbol, (SymT.UNBACKED_INT, SymT.UNBACKED_FLOAT))


def is_product_of_sizes(expr: Any) -> bool:
    """Whether an expression is a size of an input or a product of such: it is 1 only where they all are."""
    return all(part.is_Integer or (part.is_Symbol and not is_unbacked(part)) for part in sympy.Mul.make_args(expr))


def bounds(expr: Any, nonnegative: Iterable[sympy.Symbol]) -> tuple[Any, Any]:
    """The least and greatest value of an expression, for sizes from 1 on and these symbols from 0 on."""
    steps = set(nonnegative)
    if not any(symbol in steps or is_unbacked(symbol) for symbol in expr.free_symbols):
        by_residue = bounds_by_residue(expr, 1)
        if by_residue is not None:
            return by_residue
    ranges = {symbol: ValueRanges(0 if symbol in steps else _least(symbol), int_oo) for symbol in expr.free_symbols}
    try:
        found = bound_sympy(expr, ranges)
    except Exception:  # SymPy raises many kinds for functions that it has no rule for
        return -sympy.oo, sympy.oo
    return found.lower, found.upper


def least_of(number: SymInt) -> Any:
    """The least value of a symbolic number, as far as its own capture knows; sizes are from 1 on."""
    expr, computed = expression(number), number.node.shape_env.var_to_range
    ranges = {
        symbol: computed.get(symbol, ValueRanges.unknown_int()) if is_unbacked(symbol) else ValueRanges(1, int_oo)
        for symbol in expr.free_symbols
    }
    return bound_sympy(expr, ranges).lower


def _least(symbol: sympy.Symbol) -> Any:
    known = shape_env().var_to_range.get(symbol)
    if is_unbacked(symbol):
        return -int_oo if known is None else known.lower
    return 1


def number_of(expr: Any) -> Any:
    """A number with this expression: symbolic, or plain if the expression is a constant."""
    if not expr.free_symbols:
        return int(expr)
    # Computed from its symbols: PyTorch does not know how to record a number that only has an expression.
    numbers = {symbol: shape_env().create_symintnode(symbol, hint=None) for symbol in expr.free_symbols}
    return sympy_interp(PythonReferenceAnalysis, numbers, expr)


def new_step(env: ShapeEnv) -> SymInt:
    """A symbolic integer that is nowhere recorded."""
    return env.create_unbacked_symint()


def shape_env() -> ShapeEnv:
    """The shape environment of the capture that is running."""
    mode = torch._guards.detect_fake_mode()
    assert mode is not None
    assert mode.shape_env is not None
    return mode.shape_env


@contextmanager
def without_capture() -> Iterator[None]:
    """Within the block tensors have values, and nothing is recorded."""
    with untraced(), unset_fake_temporarily(), torch._C.DisableTorchFunction():
        yield
