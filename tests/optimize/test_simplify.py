"""Simplifying keeps the values: no constant is taken for 0 or 1 that is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn


class Normalised(nn.Module):
    """Safe from zeros by an epsilon that PyTorch's own optimizer drops."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, _ = self.rnn(x)
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-8), y * 1.000009


def test_a_small_epsilon_is_kept(tmp_path: Path) -> None:
    exported = export_onnx(Normalised(), Signature({"x": "float32[T, N, 3]"}), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.passed
    tensors = onnx.load(tmp_path / "out" / "model.onnx").graph.initializer
    numbers = {float(onnx.numpy_helper.to_array(tensor)) for tensor in tensors if not tensor.dims}
    assert {float(np.float32(1e-8)), float(np.float32(1.000009))} <= numbers
