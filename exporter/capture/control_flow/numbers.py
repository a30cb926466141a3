"""Symbolic numbers: what is known of them for every size, and as tensors.

PyTorch takes it for granted that a dynamic size is at least 2, and that it is the example's where it has to choose.
What is asked here holds for every size from 1 on, and for every step of a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sympy
import torch
from torch import SymBool, SymFloat, SymInt, Tensor

from ...torch_internals.capture import check
from ...torch_internals.symbols import assuming, bounds, expression, is_unbacked, where_positive
from .facts import holding, narrowed

Number = int | float | bool | SymInt | SymFloat | SymBool

_SYMBOLIC = (SymInt, SymFloat, SymBool)


class Ranges:
    """What is known of numbers: those of steps are from 0 to a count that may be symbolic, and sizes are as assumed."""

    def __init__(self) -> None:
        self._counts: dict[sympy.Symbol, sympy.Expr] = {}
        # Differences that are not negative where the code that runs is reached at all.
        self._nonnegative: list[sympy.Expr] = []
        self._facts: tuple[Any, ...] = ()
        self._limits: dict[sympy.Symbol, tuple[Any, Any]] = {}

    @contextmanager
    def assuming(self, relation: Any, tensors: Iterable[Tensor]) -> Iterator[None]:
        """Within the block a relation of sizes, of these tensors, holds; PyTorch knows of it too."""
        before = self._facts, self._limits
        self._facts = (*self._facts, *holding(relation))
        self._limits = narrowed(self._facts)
        try:
            with assuming(self._facts, self._limits, tensors):
                yield
        finally:
            self._facts, self._limits = before

    def bound(self, step: SymInt, count: int | SymInt) -> None:
        # Where there is a step the count is at least 1, and that it is no less than 0 says nothing more.
        self._counts[expression(step)] = where_positive(expression(count))

    @contextmanager
    def where(self, *nonnegative: sympy.Expr) -> Iterator[None]:
        """Within the block these are known not to be negative."""
        before = self._nonnegative
        self._nonnegative = [*before, *nonnegative]
        try:
            yield
        finally:
            self._nonnegative = before

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Within the block steps are tried: nothing that is left after it depends on their numbers."""
        before = dict(self._counts)
        yield
        self._counts = before

    def steps_in(self, number: Any) -> set[sympy.Symbol]:
        """The symbols of steps that a number is computed from."""
        return expression(number).free_symbols & self._counts.keys() if isinstance(number, _SYMBOLIC) else set()

    def known(self, condition: SymBool) -> bool | None:
        """Whether it is true, or false, for all sizes and steps; None if that depends on them."""
        return self._known(expression(condition))

    def at_least(self, number: Any, least: int) -> bool:
        return self._known(sympy.Ge(expression(number), least)) is True

    def at_most(self, number: Any, most: Any) -> bool:
        return self._known(sympy.Le(expression(number), expression(most))) is True

    def _known(self, expr: Any) -> bool | None:
        if expr in (sympy.true, sympy.false):
            return bool(expr)
        if expr in self._facts or sympy.Not(expr) in self._facts:
            return expr in self._facts
        if isinstance(expr, sympy.Not):
            inner = self._known(expr.args[0])
            return None if inner is None else not inner
        if isinstance(expr, (sympy.And, sympy.Or)):
            parts = [self._known(part) for part in expr.args]
            decisive = isinstance(expr, sympy.Or)
            if decisive in parts:
                return decisive
            return None if None in parts else not decisive
        return self._compared(expr) if isinstance(expr, sympy.core.relational.Relational) else None

    def _compared(self, relation: Any) -> bool | None:
        difference = sympy.expand(relation.lhs - relation.rhs)
        low, high = self._extremes(difference)
        for known in self._nonnegative:
            above, below = sympy.expand(difference - known), sympy.expand(-difference - known)
            low = max(low, above) if above.is_Integer else low
            high = min(high, -below) if below.is_Integer else high
        return _compare(relation, low, high)

    def _extremes(self, difference: Any) -> tuple[Any, Any]:
        """The least and the greatest value of an expression, infinite where not known."""
        low = high = difference
        for symbol in [symbol for symbol in self._counts if symbol in difference.free_symbols]:
            count = self._counts[symbol]
            slope = sympy.diff(difference, symbol) if difference.is_polynomial(symbol) else None
            if slope is None or not slope.is_number:
                return bounds(difference, self._counts, self._limits)
            first, last = (0, count - 1) if slope > 0 else (count - 1, 0)
            low, high = sympy.expand(low.subs(symbol, first)), sympy.expand(high.subs(symbol, last))
        return bounds(low, self._counts, self._limits)[0], bounds(high, self._counts, self._limits)[1]


def _compare(relation: Any, low: Any, high: Any) -> bool | None:
    """What a relation between a difference within these bounds and zero is."""
    if isinstance(relation, (sympy.Eq, sympy.Ne)):
        if low > 0 or high < 0:
            return isinstance(relation, sympy.Ne)
        return isinstance(relation, sympy.Eq) if low == high == 0 else None
    strict = isinstance(relation, (sympy.Gt, sympy.Lt))
    if isinstance(relation, (sympy.Lt, sympy.Le)):
        low, high = -high, -low
    if low > 0 or (low == 0 and not strict):
        return True
    return False if high < 0 or (high == 0 and strict) else None


def is_symbolic(value: object) -> bool:
    """Whether a number is not known while the model is captured."""
    return isinstance(value, _SYMBOLIC) and bool(expression(value).free_symbols)


def as_plain(value: Any) -> Any:
    """A symbolic number that is a constant, as Python's; anything else as it is."""
    if not isinstance(value, _SYMBOLIC) or is_symbolic(value):
        return value
    kind = {SymInt: int, SymFloat: float, SymBool: bool}[type(value)]
    return kind(expression(value))


def dtype_of(value: Number) -> torch.dtype:
    """The dtype in which a number is carried."""
    if isinstance(value, (bool, SymBool)):
        return torch.bool
    return torch.int64 if isinstance(value, (int, SymInt)) else torch.float64


def as_tensor(value: Any) -> Tensor:
    """A number, or a tensor, as a tensor."""
    if isinstance(value, Tensor):
        return value
    return torch.scalar_tensor(value, dtype=dtype_of(value))


def as_number(tensor: Tensor) -> Any:
    """A tensor of one element as a symbolic number; a truth value stays a tensor, which PyTorch could not name."""
    # PyTorch cannot read a number again, when it decomposes a program, at a place that is itself computed.
    return tensor if tensor.dtype == torch.bool else tensor.clone().item()


def as_size(tensor: Tensor) -> Any:
    """A tensor of one whole number as a size."""
    size = as_number(tensor)
    check(size >= 0)
    return size


def is_data_dependent(value: object) -> bool:
    """Whether a number depends on values, or on the step of a loop, not on sizes alone."""
    return isinstance(value, _SYMBOLIC) and any(map(is_unbacked, expression(value).free_symbols))
