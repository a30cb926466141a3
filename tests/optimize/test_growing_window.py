"""What is cut to a window has its full length only later: the file gives no number for it."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from rnn_export import export_onnx, verify
from torch import Tensor, nn


class Window(nn.Module):
    """Keeps the last three steps, and has none at first."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.keys = (x if self.keys is None else torch.cat([self.keys, x], 1))[:, -3:]
        return (x @ self.keys.mT).softmax(-1) @ self.keys


def test_a_file_with_a_window_that_fills_is_verified_again(tmp_path: Path) -> None:
    export_onnx(Window(), {"x": "float32[N, 1, 4]"}, tmp_path / "out", stateful=True)
    outputs = onnx.load(tmp_path / "out" / "model.onnx").graph.output
    (kept,) = (output.type.tensor_type.shape.dim for output in outputs if output.name.endswith("_n"))
    assert not kept[1].HasField("dim_value")
    assert verify(tmp_path / "out").passed
