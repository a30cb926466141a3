"""A bundle's file in the place of a package's network, and what the package asked of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor


class FileNetwork:
    """Calls `model.onnx` as the module that it was exported from is called; `asked` holds the inputs."""

    def __init__(self, bundle: Path) -> None:
        self._session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
        self._names = [value.name for value in self._session.get_inputs()]
        self.asked: list[tuple[Tensor, ...]] = []

    def __call__(self, *tensors: Tensor) -> Any:
        self.asked.append(tensors)
        given = {name: tensor.numpy() for name, tensor in zip(self._names, tensors, strict=True)}
        found = tuple(torch.from_numpy(array) for array in self._session.run(None, given))
        return found[0] if len(found) == 1 else found
