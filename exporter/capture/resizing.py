"""An example at other sizes: its values are cut or repeated."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..spec.signature import Signature, TensorSpec
from ..spec.size_expression import names_in, size_of


def sizes_of(signature: Signature, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """The size of each name."""
    return signature.sizes({name: tensor.shape for name, tensor in tensors.items()})


def at_sizes(signature: Signature, example: Mapping[str, Tensor], sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Inputs cut or repeated to other sizes of some names."""
    known = {**sizes_of(signature, example), **sizes}
    return {name: resized(example[name], spec, known) for name, spec in signature.inputs.items()}


def resized(tensor: Tensor, spec: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
    """A tensor, repeated or cut along the dimensions that `sizes` says of how large they are."""
    for axis, dim in enumerate(spec.shape):
        if isinstance(dim, str) and sizes.keys() >= {*names_in(dim)}:
            index = torch.arange(size_of(dim, sizes)) % tensor.shape[axis]
            tensor = tensor.index_select(axis, index)
    return tensor
