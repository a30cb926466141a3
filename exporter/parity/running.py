"""Running a model as it stands, for inputs by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..calling import arrange
from ..keeping import kept
from ..quiet import quiet


def as_tensors(inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    """Inputs as PyTorch takes them; they share the arrays' memory, and whoever runs a model gives it copies."""
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def run_eager(model: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """The model's output for inputs by name, without gradients; the inputs are left as they are."""
    with kept(model):
        return run_on(model, tensors)


def run_on(model: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """The same, and what the model's forward writes to the model stays written, for the next call to find."""
    args, kwargs = arrange(model, tensors).arguments({name: tensor.clone() for name, tensor in tensors.items()})
    with quiet(), torch.no_grad():
        return model(*args, **kwargs)
