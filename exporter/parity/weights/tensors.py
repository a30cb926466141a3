"""The tensors of a model that an exported file is to hold, as arrays whose bits can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .places import Bits

Array = NDArray[Any]

# A nearly equal number has the same bits but for these: sign, exponent and the first digits of the mantissa are equal.
_DIGITS = 5


@dataclass(frozen=True)
class ModelWeights:
    """The tensors of a model by name, and what its forward computes of them alone, or why that is not known."""

    own: Mapping[str, Array]
    computed: Mapping[str, Array]
    unseen: str = ""


def model_weights(model: nn.Module) -> dict[str, Array]:
    """The floating-point parameters and buffers of a model in evaluation mode, by name.

    In place of those that a weight is computed from (a parametrization, the older weight norm, pruning) stands what
    the layer computed of them when it last ran.
    """
    tensors = dict(model.state_dict())
    for name, originals, value in _computed(model):
        for original in originals:
            tensors.pop(original, None)
        tensors[name] = value
    return as_arrays(tensors)


def as_arrays(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """The floating-point tensors as arrays."""
    found = {name: as_array(tensor) for name, tensor in tensors.items() if isinstance(tensor, Tensor)}
    return {name: array for name, array in found.items() if is_float(array.dtype)}


def as_array(tensor: Tensor) -> Array:
    """The elements of a tensor, without a copy where it lies in memory."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16


def bits_of(array: Array) -> Bits:
    """The bits of each element, so that NaN equals itself and 0.0 is not -0.0."""
    return np.asarray(np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")).reshape(array.shape)


def coarse_bits(array: Array) -> Bits:
    """The bits of each element without its last digits."""
    mantissa = int(ml_dtypes.finfo(array.dtype).nmant)  # type: ignore[no-untyped-call]
    return np.right_shift(bits_of(array), mantissa - _DIGITS, dtype=f"u{array.dtype.itemsize}")


def matrices(array: Any) -> Iterator[Any]:
    """A tensor as matrices, which share its memory: the first axis apart from the others, and all others from the last.

    A vector is a column, a number a matrix of one element.
    """
    if array.ndim < 2:
        yield array.reshape(-1, 1)
        return
    yield array.reshape(array.shape[0], -1)
    if array.ndim > 2:
        yield array.reshape(-1, array.shape[-1])


def _computed(model: nn.Module) -> Iterator[tuple[str, list[str], Tensor]]:
    """Weights that layers compute: the name, those in the state that it is computed from, and its value."""
    names = list(model.state_dict())
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        parametrized = getattr(module, "parametrizations", {})
        for name in parametrized:
            with torch.no_grad():
                value = getattr(module, name)
            start = f"{prefix}parametrizations.{name}."
            yield prefix + name, [each for each in names if each.startswith(start)], value
        for name, value in vars(module).items():
            if isinstance(value, Tensor):
                yield prefix + name, [each for each in names if each.startswith(f"{prefix}{name}_")], value
