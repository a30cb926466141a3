"""Private parts of symbolic sizes: their expressions, and the bounds of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sympy
import torch
from torch import SymInt, Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._sympy.functions import (
    CleanDiv,
    FloatTrueDiv,
    FloorDiv,
    IntTrueDiv,
    Max,
    OpaqueUnaryFn_log2,
    ToFloat,
)
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
LOG2 = OpaqueUnaryFn_log2

# Those that round down, or need not round, and what stands for no bound of a whole number.
WHOLE_QUOTIENTS = (FloorDiv, CleanDiv)
INFINITY = int_oo


def expression(value: Any) -> Any:
    """The SymPy expression of a symbolic number, or of a plain one."""
    return value.node.expr if hasattr(value, "node") else sympy.sympify(value)


def where_positive(expr: Any) -> Any:
    """A simpler expression that is the same where it is positive: `T - 2` for `Max(0, T - 2)`."""
    if isinstance(expr, Max) and len(rest := [part for part in expr.args if part != 0]) == 1:
        return rest[0]
    return expr


def log2_of(number: Any) -> Any:
    """The binary logarithm of a symbolic number."""
    return torch._sym_log2(torch.sym_float(number))  # type: ignore[attr-defined]


def is_unbacked(symbol: sympy.Symbol) -> bool:
    """Whether a symbol stands for a computed value, and not for a size of an input."""
    return symbol_is_type(symbol, (SymT.UNBACKED_INT, SymT.UNBACKED_FLOAT))


def is_product_of_sizes(expr: Any) -> bool:
    """Whether an expression is a size of an input or a product of such: it is 1 only where they all are."""
    return all(part.is_Integer or (part.is_Symbol and not is_unbacked(part)) for part in sympy.Mul.make_args(expr))


# The least and the greatest value of some symbols.
Limits = Mapping[sympy.Symbol, tuple[Any, Any]]


def bounds(expr: Any, nonnegative: Iterable[sympy.Symbol], limits: Limits) -> tuple[Any, Any]:
    """The least and greatest value of an expression, for sizes from 1 on and these symbols from 0 on.

    Args:
        limits: what is known besides.
    """
    steps = set(nonnegative)
    low, high = -sympy.oo, sympy.oo
    if not any(symbol in steps or is_unbacked(symbol) for symbol in expr.free_symbols):
        least = max((limits.get(symbol, (1, None))[0] for symbol in expr.free_symbols), default=1)
        by_residue = bounds_by_residue(expr, least)
        if by_residue is not None:
            low, high = by_residue
            if not expr.free_symbols & limits.keys():
                return low, high
    ranges = {
        symbol: ValueRanges(*limits.get(symbol, (0 if symbol in steps else _least(symbol), int_oo)))
        for symbol in expr.free_symbols
    }
    try:
        found = bound_sympy(expr, ranges)
    except Exception:  # SymPy raises many kinds for functions that it has no rule for
        return low, high
    return max(low, found.lower), min(high, found.upper)


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


@contextmanager
def assuming(facts: Sequence[Any], limits: Limits, tensors: Iterable[Tensor]) -> Iterator[None]:
    """Within the block the capture that is running takes these relations of sizes for true, of these tensors too.

    Where it has to choose, its example is one for which they are true.
    """
    env = shape_env()
    ranges = {symbol: env.var_to_range[symbol] for symbol in limits}
    axioms, values = dict(env.axioms), dict(env.backed_var_to_val)
    for symbol, (low, high) in limits.items():
        # A size of 1 is never a dynamic one to PyTorch.
        if high >= 2:
            env.var_to_range[symbol] = ValueRanges(max(low, 2), high)
    for fact in facts:
        env.axioms.update(env.get_implications(fact))
    env.backed_var_to_val.update(_example_of(facts, limits, values))
    many = len(env.guards)
    nodes = {id(node): node for tensor in tensors for node in _nodes(tensor)}
    hints = {key: node._hint for key, node in nodes.items()}
    for node in nodes.values():
        node._hint = int(node.expr.xreplace(env.backed_var_to_val))
    _forget_evaluated(env)
    try:
        yield
    finally:
        env.var_to_range.update(ranges)
        env.backed_var_to_val.update(values)
        env.axioms.clear()
        env.axioms.update(axioms)
        for key, node in nodes.items():
            node._hint = hints[key]
        # What PyTorch's own code chose here need not hold elsewhere.
        del env.guards[many:]
        _forget_evaluated(env)


def _nodes(tensor: Tensor) -> Iterator[Any]:
    for number in (*tensor.shape, *tensor.stride(), tensor.numel()):
        if isinstance(number, SymInt) and not any(map(is_unbacked, number.node.expr.free_symbols)):
            yield number.node


_FAR_SIZES = (37, 41, 43, 47, 53, 59)
_MOST_TRIED = 1_000


def _example_of(facts: Sequence[Any], limits: Limits, values: Mapping[sympy.Symbol, Any]) -> dict[sympy.Symbol, Any]:
    """Sizes for which the facts are true: the example's, or others for one of them; empty if none is found."""
    for symbol in sorted({symbol for fact in facts for symbol in fact.free_symbols}, key=str):
        low, high = limits.get(symbol, (1, int_oo))
        offsets = (*_FAR_SIZES, *range(_MOST_TRIED))
        for value in (values[symbol], *(low + offset for offset in offsets)):
            if low <= value <= high and all(fact.xreplace({**values, symbol: value}) == True for fact in facts):  # noqa: E712
                return {symbol: sympy.Integer(value)}
    return {}


def _forget_evaluated(env: ShapeEnv) -> None:
    """Drop what was concluded from other facts, which PyTorch does not expect to become false again."""
    for name in ("_inner_evaluate_expr", "size_hint", "guarding_hint_or_throw"):
        getattr(env, name).cache_clear()
    env._version_counter += 1
    mode = torch._guards.detect_fake_mode()
    if mode is not None:
        mode.cache_clear()
