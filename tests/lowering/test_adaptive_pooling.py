"""Adaptive pooling of a dynamic size to several outputs, whether these divide the size or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn
from torch.nn import functional as F

POOLINGS: dict[str, Callable[[Tensor], Tensor | tuple[Tensor, ...]]] = {
    "mean": lambda x: (F.adaptive_avg_pool1d(x, 3), F.adaptive_avg_pool1d(x, 1), F.adaptive_avg_pool1d(x, 8)),
    "mean in two dimensions": lambda x: F.adaptive_avg_pool2d(x[:, None], (3, 4)),
    "mean of each step": lambda x: F.adaptive_avg_pool2d(x[:, None], (1, None)),
    "max": lambda x: (F.adaptive_max_pool1d(x, 3), F.adaptive_max_pool1d(x, 1)),
    "max in two dimensions": lambda x: F.adaptive_max_pool2d(x[:, None], (2, 3)),
    "places": lambda x: F.adaptive_max_pool2d(x[:, None], (2, 3), return_indices=True),
}


class Pooled(nn.Module):
    """x [N, C, T]."""

    def __init__(self, pool: Callable[[Tensor], Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.pool(x)


@pytest.mark.parametrize("name", POOLINGS)
def test_of_a_dynamic_size(name: str, tmp_path: Path) -> None:
    model = Pooled(POOLINGS[name])
    export_onnx(model, Signature({"x": "float32[N, 5, T]"}), tmp_path / "b")
    session = onnxruntime.InferenceSession(tmp_path / "b" / "model.onnx")
    for steps in (1, 2, 3, 4, 7, 12, 400):
        x = torch.randn(2, 5, steps, generator=torch.Generator().manual_seed(steps))
        expected = model(x)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for result, tensor in zip(session.run(None, {"x": x.numpy()}), expected, strict=True):
            np.testing.assert_allclose(result, tensor.numpy(), rtol=1e-5, atol=1e-6)
