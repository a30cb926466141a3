"""How often a size can be doubled or halved: whole numbers from `log2` and `bit_length`, and powers of two.

They are counted and computed in whole numbers, which are exact at every size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import SymInt

from ...torch_internals.capture import check
from ...torch_internals.symbols import LOG2, TO_FLOAT, expression, log2_of, number_of
from .numbers import as_number, as_tensor, is_symbolic

# No tensor has more elements than 2 to the power of so many.
_BITS = 48


def logarithms() -> dict[Any, Callable[..., Any]]:
    """What is called in place of the functions whose result only a rounding makes a whole number again."""
    return {math.log2: lambda value: _log2(math.log2, value), np.log2: lambda value: _log2(np.log2, value)}


def _log2(plain: Callable[[Any], Any], value: Any) -> Any:
    return log2_of(value) if is_symbolic(value) else plain(value)


def logarithm_of(value: Any) -> Any:
    """The whole number of which a value is the binary logarithm; None where it is no such logarithm."""
    expr = expression(value)
    inner = expr.args[0] if isinstance(expr, LOG2) else None
    inner = inner.args[0] if isinstance(inner, TO_FLOAT) else inner
    return None if inner is None or not inner.is_integer else number_of(inner)


def bit_length(number: Any) -> Any:
    """`number.bit_length()` of a whole number from 0 on: so many powers of two are no greater."""
    powers = torch.tensor([1 << k for k in range(_BITS)])
    count = as_number((as_tensor(number) >= powers).sum())
    check(count >= 0)
    check(count <= _BITS)
    return count


def power_of_two(exponent: Any) -> Any:
    """`2 ** exponent`, of a symbolic number."""
    power = as_number(torch.pow(2, as_tensor(exponent)))
    check(power >= 1)
    return power


def power(base: Any, exponent: Any) -> Any:
    """`base ** exponent` of anything."""
    is_twos = isinstance(exponent, SymInt) and is_symbolic(exponent) and isinstance(base, int) and base == 2
    return power_of_two(exponent) if is_twos else base**exponent


def shifted_left(number: Any, by: Any) -> Any:
    """`number << by` of anything; PyTorch knows more of a product."""
    if not is_symbolic(number) and not is_symbolic(by):
        return number << by
    return number * (power_of_two(by) if is_symbolic(by) else 2**by)


def shifted_right(number: Any, by: Any) -> Any:
    """`number >> by` of anything."""
    if not is_symbolic(number) and not is_symbolic(by):
        return number >> by
    return number // (power_of_two(by) if is_symbolic(by) else 2**by)
