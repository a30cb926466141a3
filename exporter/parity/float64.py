"""The float64 form of a model, which the reference is computed with.

It is a copy with float64 weights, run with float64 as the default dtype, and in place of the model's own dtype wherever
its forward names that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..pytorch.copying import copied

Array = NDArray[np.generic]


def float64_copy(model: nn.Module) -> nn.Module | None:
    """The model with float64 weights; None where it cannot be copied."""
    # Parameters are copied as float64 at once, which saves a second copy of all weights.
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach().double(), requires_grad=False)
        for parameter in model.parameters()
        if type(parameter) is nn.Parameter and parameter.is_floating_point()
    }
    # `double` leaves complex numbers as they are.
    memo |= {
        id(tensor): _complex128(tensor) for tensor in (*model.parameters(), *model.buffers()) if tensor.is_complex()
    }
    try:
        return copied(model, memo).double()
    except Exception:  # a model that cannot be copied has no float64 form; the report says so
        return None


def _complex128(tensor: Tensor) -> Tensor:
    wide = tensor.detach().to(torch.complex128)
    return nn.Parameter(wide, requires_grad=False) if isinstance(tensor, nn.Parameter) else wide


def in_float64(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inputs as the copy takes them."""
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


@contextmanager
def computing_in_float64(dtype: torch.dtype) -> Iterator[None]:
    """Make float64 the default dtype for a block, and what is given wherever `dtype` is asked for by name."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64For(dtype):
            yield
    finally:
        torch.set_default_dtype(before)


class _Float64For(TorchFunctionMode):
    """Context manager that gives float64 wherever one other dtype is asked for by name, and complex128 likewise."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._wide = {dtype: torch.float64, **_WIDE_COMPLEX.get(dtype, {})}
        self._conversions = _CONVERSIONS.get(dtype, {})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        func = self._conversions.get(func, func)
        given = {name: self._other(value) for name, value in (kwargs or {}).items()}
        return func(*map(self._other, args), **given)

    def _other(self, value: Any) -> Any:
        return self._wide.get(value, value) if isinstance(value, torch.dtype) else value


_WIDE_COMPLEX = {
    torch.float32: {torch.complex64: torch.complex128},
    torch.float16: {torch.complex32: torch.complex128},
}
_CDOUBLE: Any = torch.Tensor.cdouble  # type: ignore[attr-defined]
_CONVERSIONS: Mapping[torch.dtype, Mapping[Any, Any]] = {
    torch.float32: {torch.Tensor.float: torch.Tensor.double, torch.Tensor.cfloat: _CDOUBLE},  # type: ignore[attr-defined]
    torch.float16: {torch.Tensor.half: torch.Tensor.double, torch.Tensor.chalf: _CDOUBLE},
}


def float_dtype(model: nn.Module) -> torch.dtype:
    """The dtype of a model's weights."""
    floats = (tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point())
    return next(floats, torch.float32)


def representable(exact: Array, dtype: np.dtype[Any]) -> Array:
    """What exceeds a dtype as the largest number that it has: the fillers of a mask are `finfo(x.dtype).min`."""
    if not np.issubdtype(dtype, np.floating) or exact.dtype == dtype:
        return exact
    largest = float(np.finfo(dtype).max)
    return np.where(np.isfinite(exact), np.clip(exact, -largest, largest), exact)
