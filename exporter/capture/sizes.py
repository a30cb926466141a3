"""The same inputs at other sizes: for the captures of a loop, and where one size was mistaken for another.

At 7 steps a stride of 2 leaves 4, and if a layer happens to have 4 units, PyTorch takes the two for one number. At
sizes that are prime and far from what layers have, halves and quarters of them too, that does not happen.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..spec.signature import Signature, TensorSpec

# Half and a quarter of a size beyond this are beyond 1 too, which PyTorch always asks.
FAR = 64
_PRIMES = (101, 89, 107, 83, 113, 79, 103, 109)


def at_other_sizes(signature: Signature, example: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The example's tensors, repeated or cut to sizes that nothing in the model is likely to have."""
    fixed = {dim for spec in signature.inputs.values() for dim in spec.shape}
    primes = [prime for prime in _PRIMES if prime not in fixed]
    sizes = dict(zip(signature.symbols, primes, strict=False))
    return {name: resized(example[name], spec, sizes) for name, spec in signature.inputs.items()}


def resized(tensor: Tensor, spec: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
    """A tensor with its values repeated or cut to given sizes of the dimensions that these name."""
    for axis, dim in enumerate(spec.shape):
        if dim in sizes:
            index = torch.arange(sizes[str(dim)]) % tensor.shape[axis]
            tensor = tensor.index_select(axis, index)
    return tensor
