"""Run PyTorch as another library where a transform or a product of complex matrices meets a value that is not finite.

Which of their results then are NaN, infinite or finite is up to the algorithm: that of an FFT depends on the number of
points and of rows. What differs between these runs and PyTorch's own is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import nan
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..capture.spectra import istft, stft
from ..torch_internals.modules import tree_leaves, tree_map

_NAMES = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
_DIMS: Mapping[Any, Any] = {
    **{getattr(torch.fft, name): -1 for name in _NAMES},
    **{getattr(torch.fft, f"{name}2"): (-2, -1) for name in _NAMES},
    **{getattr(torch.fft, f"{name}n"): None for name in _NAMES},
}
_FRAMED: Mapping[Any, Callable[..., Any]] = {
    torch.stft: stft,
    torch.Tensor.stft: stft,
    torch.istft: istft,
    torch.Tensor.istft: istft,
}
_PRODUCTS = {
    getattr(place, name)
    for place in (torch, torch.Tensor)
    for name in ("matmul", "mm", "bmm", "mv", "addmm", "baddbmm")
} | {torch.Tensor.__matmul__, torch.einsum, torch.nn.functional.linear}


class OtherLibrary(TorchFunctionMode):
    """Context manager in which a value that is not finite counts as 0 there, or makes all it reaches NaN."""

    def __init__(self, filler: float) -> None:
        super().__init__()
        self._filler = filler

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in _FRAMED:
            with self:
                return _FRAMED[func](*args, **named)
        if func in _DIMS:
            return self._transform(func, args, named)
        if func in _PRODUCTS and any(isinstance(arg, Tensor) and arg.is_complex() for arg in tree_leaves(args)):
            return func(*tree_map(self._filled, args), **tree_map(self._filled, named))
        return func(*args, **named)

    def _transform(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
        x, *rest = args
        dims = kwargs.get("dim", rest[1] if len(rest) > 1 else _DIMS[func])
        result: Tensor = func(torch.where(torch.isfinite(x), x, 0), *rest, **kwargs)
        if self._filler == 0:
            return result
        dims = tuple(range(x.dim())) if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
        reached = ~torch.isfinite(x).all(dims, keepdim=True)
        return torch.where(reached, self._filler_of(result), result)

    def _filled(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return torch.where(torch.isfinite(value), value, self._filler_of(value))

    def _filler_of(self, tensor: Tensor) -> complex | float:
        return complex(self._filler, self._filler) if tensor.is_complex() else self._filler


def other_libraries() -> tuple[OtherLibrary, OtherLibrary]:
    """The two, of which one agrees with any algorithm wherever the other one does not."""
    return OtherLibrary(0.0), OtherLibrary(nan)
