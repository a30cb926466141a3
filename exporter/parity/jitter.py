"""Jitter: run PyTorch as a slightly different implementation of itself, as another library is one.

How far apart two equally careful implementations may be shows when PyTorch's rounding errors are drawn anew:

* Every floating-point input, and what goes into a product, a convolution, a norm or a recurrent cell, moves by up to
  sqrt(K)/2 ulps, where K is the number of products that are added up: a sum of K products drifts that far when its
  rounding errors are random (Higham, Accuracy and Stability of Numerical Algorithms, 2.8). Of an input K is the length
  of the last dimension. Of a recurrent layer the weights move so, which reaches every step.
* Every sum, difference, product and quotient moves by up to half an ulp: what is left of large numbers that cancel
  shows it. A number of few digits, such as 3 or 0.75, is as a rule exact, as one that counts steps, and stays.
* Every result of a bounded function, of one that adds 1 to something (softplus, ELU, log1p), and of a recurrent layer
  or cell, moves by up to an ulp of 1, which matters where a model's values are small: a library may compute these
  functions to an absolute accuracy. Over -20..20 ONNX
  Runtime's Tanh is within 2.7e-7 of the true value and its Sigmoid within 1.7e-7, whatever the result; PyTorch's are
  within half an ulp.
* An LSTM that begins with a large cell state runs step by step, for a gate moves that state by its own error.
* Every result of a function such as GELU, a bounded function times its argument, moves by an ulp of the argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .lstm_steps import has_large_state, lstm, lstm_cell

_ABSOLUTE = {
    *(
        getattr(place, name)
        for place in (torch, torch.Tensor)
        for name in ("tanh", "sigmoid", "erf", "sin", "cos", "log", "log1p", "expm1", "logsumexp", "log_softmax")
    ),
    torch.logaddexp,
    torch.Tensor.logaddexp,
    torch.special.expit,
    functional.tanh,
    functional.sigmoid,
    functional.softplus,
    functional.logsigmoid,
    functional.log_softmax,
    functional.elu,
    functional.selu,
    functional.celu,
    torch.rnn_tanh,
    torch.gru,
    torch.lstm,
    torch.rnn_tanh_cell,
    torch.gru_cell,
    torch.lstm_cell,
}
_ARITHMETIC = {
    getattr(place, name)
    for operator in ("add", "sub", "mul", "div", "true_divide")
    for place, name in ((torch, operator), (torch.Tensor, operator), (torch.Tensor, f"{operator}_"))
} | {
    getattr(torch.Tensor, f"__{before}{operator}__")
    for operator in ("add", "sub", "mul", "truediv")
    for before in ("", "r", "i")
}
_GATED = {functional.gelu, functional.silu, functional.mish}
_WEIGHTED = {
    functional.linear,
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    functional.conv1d,
    functional.conv2d,
    functional.conv3d,
}
_PRODUCTS = {
    torch.matmul,
    torch.mm,
    torch.bmm,
    torch.mv,
    torch.Tensor.matmul,
    torch.Tensor.mm,
    torch.Tensor.bmm,
    torch.Tensor.mv,
    torch.Tensor.__matmul__,
}
_LAYERS = {torch.rnn_tanh, torch.rnn_relu, torch.gru, torch.lstm}
_CELLS = {torch.rnn_tanh_cell, torch.rnn_relu_cell, torch.gru_cell, torch.lstm_cell}
_NORMS = {functional.batch_norm, functional.layer_norm, functional.group_norm, functional.instance_norm}
_STEP_BY_STEP: Mapping[Callable[..., Any], Callable[..., Any]] = {torch.lstm: lstm, torch.lstm_cell: lstm_cell}

# A norm takes the difference from a mean, and what another library folds into the layer before it rounds once more.
_NORM_TERMS = 4


class Jitter(TorchFunctionMode):
    """Context manager that moves what PyTorch computes by its rounding errors, reproducibly from a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def inputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """A model's inputs, floating-point values moved."""
        moved = [self._scaled(tensor, tensor.shape[-1] if tensor.dim() else 1) for tensor in tensors]
        return [
            torch.where(_without_short(tensor) == 0, tensor, other) if tensor.is_floating_point() else tensor
            for tensor, other in zip(tensors, moved, strict=True)
        ]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in _STEP_BY_STEP and len(args) > 1 and has_large_state(args[1]) and _is_plain(func, args):
            with self:
                return _STEP_BY_STEP[func](*args, **(kwargs or {}))
        result = func(*self._moved_arguments(func, args), **(kwargs or {}))
        if func in _ARITHMETIC and isinstance(result, Tensor) and (result.is_floating_point() or result.is_complex()):
            # In place, for `total += x` has to change what `total` is.
            parts = torch.view_as_real(result) if result.is_complex() else result
            parts.addcmul_(_without_short(parts), self._noise(parts, 0.5))
            return result
        if func in _ABSOLUTE:
            return self._moved(result)
        if func in _GATED and args:
            return torch.addcmul(result, self._noise(result, 1.0), args[0].abs())
        return result

    def _moved_arguments(self, func: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, ...]:
        if func in _LAYERS:
            return tuple(self._all_scaled(arg) if isinstance(arg, (list, tuple)) else arg for arg in args)
        if func in _CELLS:
            state = self._all_scaled((args[1],))[0] if isinstance(args[1], Tensor) else self._all_scaled(args[1])
            return (*self._all_scaled((args[0],)), state, *args[2:])
        terms = _terms(func, args)
        return (self._scaled(args[0], terms), *args[1:]) if terms else args

    def _all_scaled(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Weights and states, each a sum of as many products as its last dimension is long; biases are no sum."""
        return [self._scaled(tensor, tensor.shape[-1] if tensor.dim() > 1 else 1) for tensor in tensors]

    def _scaled(self, tensor: Tensor, terms: int) -> Tensor:
        if tensor.is_complex():
            return torch.view_as_complex(self._scaled(torch.view_as_real(tensor.resolve_conj()), terms))
        if not tensor.is_floating_point():
            return tensor
        return torch.addcmul(tensor, tensor, self._noise(tensor, 0.5 * sqrt(terms)))

    def _moved(self, result: Any) -> Any:
        if isinstance(result, Tensor):
            return result + self._noise(result, 1.0)
        return type(result)(self._moved(part) for part in result)

    def _noise(self, tensor: Tensor, ulps: float) -> Tensor:
        largest = ulps * torch.finfo(tensor.dtype).eps
        noise = torch.empty(tensor.shape, dtype=torch.float32)
        return noise.uniform_(-largest, largest, generator=self._generator).to(tensor.dtype)


def _is_plain(func: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Whether a layer's input is padded and its states have no projection."""
    if func is torch.lstm_cell:
        return True
    if not isinstance(args[2], (list, tuple)):
        return False
    sizes = {len(args[2]) // (args[4] * (2 if args[7] else 1))}
    return sizes <= {2, 4} and args[1][0].shape[-1] == args[1][1].shape[-1]


def _without_short(tensor: Tensor) -> Tensor:
    """The tensor, with zero for each number whose last 8 binary digits are 0."""
    mantissa = torch.frexp(tensor).mantissa / (2**8 * torch.finfo(tensor.dtype).eps)
    return torch.where(mantissa == mantissa.round(), 0, tensor)


def _terms(func: Callable[..., Any], args: Sequence[Any]) -> int:
    """How many products a function adds up for each of its results; 0 where it adds none."""
    if not args or not isinstance(args[0], Tensor):
        return 0
    if func in _WEIGHTED and len(args) > 1:
        return prod(args[1].shape[1:])
    if func in _PRODUCTS:
        return args[0].shape[-1] if args[0].dim() else 1
    return _NORM_TERMS if func in _NORMS else 0
