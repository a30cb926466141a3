"""Resize an example: for the captures of a loop, and where PyTorch mistook one size for another.

At 7 steps a stride of 2 leaves 4; if a layer happens to have 4 units, PyTorch takes the two for the same size. At
primes that are far from a layer's sizes, as are their halves and quarters, that does not happen.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..spec.signature import Signature, TensorSpec

# The half and the quarter of a size beyond this are greater than 1 too, which PyTorch always asks.
FAR = 64
_PRIMES = (101, 89, 107, 83, 113, 79, 103, 109)


def at_other_sizes(signature: Signature, example: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The example at sizes that nothing in the model is likely to have."""
    fixed = {dim for spec in signature.inputs.values() for dim in spec.shape}
    primes = [prime for prime in _PRIMES if prime not in fixed]
    sizes = dict(zip(signature.symbols, primes, strict=False))
    return {name: resized(example[name], spec, sizes) for name, spec in signature.inputs.items()}


def resized(tensor: Tensor, spec: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
    """A tensor, repeated or cut along the dimensions that `sizes` names."""
    for axis, dim in enumerate(spec.shape):
        if dim in sizes:
            index = torch.arange(sizes[str(dim)]) % tensor.shape[axis]
            tensor = tensor.index_select(axis, index)
    return tensor
