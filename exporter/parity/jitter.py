"""PyTorch as a slightly different implementation of itself: how far apart equally careful programs come to lie.

A jittered run moves every input value by up to sqrt(K)/2 ulps, where K is the length of its last dimension: so far
does a sum of K products drift whose roundings fall at random (Higham, Accuracy and Stability of Numerical Algorithms,
2.8). And it moves every result of tanh, sigmoid and of a recurrent layer that ends in them by up to an ulp of 1, which
matters where a model's values are small: a library may compute these functions to an absolute accuracy, as ONNX Runtime
does. Over -20..20 its Tanh is within 2.7e-7 of the truth and its Sigmoid within 1.7e-7, wherever the result lies;
PyTorch's are within half an ulp of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BOUNDED = {
    torch.tanh,
    torch.sigmoid,
    torch.Tensor.tanh,
    torch.Tensor.sigmoid,
    torch.nn.functional.tanh,
    torch.nn.functional.sigmoid,
    torch.rnn_tanh,
    torch.gru,
    torch.lstm,
}


class Jitter(TorchFunctionMode):
    """Context manager within which bounded activations come out slightly moved, reproducibly from a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def inputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Every floating-point value times 1 + d, with d uniform within sqrt(K)/2 ulps of 1."""
        return [self._scaled(tensor) if tensor.is_floating_point() else tensor for tensor in tensors]

    def _scaled(self, tensor: Tensor) -> Tensor:
        ulps = 0.5 * sqrt(tensor.shape[-1] if tensor.dim() else 1)
        return (tensor.double() * (1 + self._noise(tensor, ulps))).to(tensor.dtype)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        return self._moved(result) if func in _BOUNDED else result

    def _moved(self, result: Any) -> Any:
        if isinstance(result, Tensor):
            return (result.double() + self._noise(result, 1.0)).to(result.dtype)
        return type(result)(self._moved(part) for part in result)

    def _noise(self, tensor: Tensor, ulps: float) -> Tensor:
        uniform = torch.rand(tensor.shape, generator=self._generator, dtype=torch.float64) * 2 - 1
        return uniform * (ulps * torch.finfo(tensor.dtype).eps)
