"""Python's `math`, and `round`, of a number that is computed from tensors: the function of PyTorch in its place."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .numbers import as_number, as_tensor, is_data_dependent

_OF_TENSORS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    math.exp: torch.exp,
    math.expm1: torch.expm1,
    math.log: torch.log,
    math.log1p: torch.log1p,
    math.log2: torch.log2,
    math.log10: torch.log10,
    math.sqrt: torch.sqrt,
    math.pow: torch.pow,
    math.sin: torch.sin,
    math.cos: torch.cos,
    math.tan: torch.tan,
    math.sinh: torch.sinh,
    math.cosh: torch.cosh,
    math.tanh: torch.tanh,
    math.atan: torch.atan,
    math.fabs: torch.abs,
}

_TO_WHOLE: dict[Callable[..., Any], Callable[..., Tensor]] = {
    math.floor: torch.floor,
    math.ceil: torch.ceil,
    math.trunc: torch.trunc,
    round: torch.round,
}


def math_functions(
    known: Callable[[Tensor], Any], of_sizes: dict[Any, Callable[..., Any]]
) -> dict[Any, Callable[..., Any]]:
    """What is called in place of each function.

    Args:
        known: the value of a tensor that is the same in every call, else None.
        of_sizes: what is called for other numbers, where that is not the function itself.
    """
    kinds = ((_OF_TENSORS, torch.float64), (_TO_WHOLE, torch.int64))
    return {
        plain: functools.partial(_called, known, of_sizes.get(plain, plain), of_tensors, dtype)
        for functions, dtype in kinds
        for plain, of_tensors in functions.items()
    }


def _called(
    known: Callable[[Tensor], Any],
    plain: Callable[..., Any],
    of_tensors: Callable[..., Tensor],
    dtype: torch.dtype,
    *values: Any,
) -> Any:
    values = tuple(value.reshape(()) if isinstance(value, Tensor) else value for value in values)
    constants = [known(value) if isinstance(value, Tensor) else value for value in values]
    values = tuple(value if constant is None else constant for value, constant in zip(values, constants, strict=True))
    to_digits = of_tensors is torch.round and len(values) > 1
    if to_digits or not any(isinstance(value, Tensor) or is_data_dependent(value) for value in values):
        return plain(*values)
    tensors = [as_tensor(value).to(torch.float64) for value in values]
    return as_number(of_tensors(*tensors).to(dtype))
