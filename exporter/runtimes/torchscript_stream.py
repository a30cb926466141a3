"""Run TorchScript that keeps its states in buffers as a file that takes and returns them, as others of a stream do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..pytorch.outputs import flatten
from ..pytorch.run import suppress_output
from .session import Array


def is_streaming(module: Any) -> bool:
    """Whether an archive keeps states by itself, as `lowering/torchscript_stream.py` writes them."""
    return hasattr(module, "reset") and hasattr(module, "state_buffers")


class StatesInBuffers:
    """The states of a module by the names of their inputs, and a step that takes and returns them.

    States are left to the module where they are what it holds, and `reset` is called where they are what a stream
    begins with, so that both are tried; others are put in their places.
    """

    def __init__(self, module: Any, outputs: Sequence[str]) -> None:
        self._module = module
        self._buffers = dict(zip(module.state_inputs, module.state_buffers, strict=True))
        self._after = dict(zip(module.state_outputs, module.state_buffers, strict=True))
        self._outputs = [name for name in outputs if name not in self._after]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        own = [torch.from_numpy(array.copy()) for name, array in inputs.items() if name not in self._buffers]
        with suppress_output(), torch.no_grad():
            self._begin({self._buffers[name]: array for name, array in inputs.items() if name in self._buffers})
            returned = [tensor.cpu().numpy() for _, tensor in flatten(self._module(*own))]
        after = {name: self._tensor(buffer).cpu().numpy().copy() for name, buffer in self._after.items()}
        return {**dict(zip(self._outputs, returned, strict=True)), **after}

    def _begin(self, states: Mapping[str, Array]) -> None:
        if self._module.begun and all(_same(self._tensor(name), array) for name, array in states.items()):
            return
        self._module.reset()
        if all(_same(self._tensor(name).expand(array.shape), array) for name, array in states.items()):
            return
        for name, array in states.items():
            setattr(self._module, name, torch.from_numpy(array.copy()))
        self._module.begun = True

    def _tensor(self, buffer: str) -> Tensor:
        found: Tensor = getattr(self._module, buffer)
        return found


def _same(tensor: Tensor, array: Array) -> bool:
    return np.array_equal(tensor.cpu().numpy(), array, equal_nan=array.dtype.kind == "f")
