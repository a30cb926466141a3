"""Numbers in a float64 model are not rounded to float32 on the way."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from rnn_export import Signature, export_onnx
from torch import Tensor, nn
from torch.onnx._internal.exporter import _building


class Scaled(nn.Module):
    """Shapes: x [T, N, 3] to [T, N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        output = self.rnn(x * 0.01)[0]
        return torch.clamp(output, -0.3, 0.7) / 0.1 + 1e-20


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_number_is_as_exact_as_the_model(dtype: torch.dtype, tmp_path: Path) -> None:
    name = str(dtype).removeprefix("torch.")
    export_onnx(Scaled().to(dtype), Signature({"x": f"{name}[T, N, 3]"}), tmp_path / "b")
    graph = onnx.load(tmp_path / "b" / "model.onnx").graph
    stored = {float(numpy_helper.to_array(tensor)) for tensor in graph.initializer if not tensor.dims}
    assert {float(torch.tensor(number, dtype=dtype)) for number in (0.01, -0.3, 0.7)} <= stored


def test_a_number_beyond_float32(tmp_path: Path) -> None:
    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.masked_fill(x > 0, -1e300)

    export_onnx(Masked(), Signature({"x": "float64[T, N]"}), tmp_path / "b")
    tensors = onnx.load(tmp_path / "b" / "model.onnx").graph.initializer
    assert -1e300 in {float(numpy_helper.to_array(tensor)) for tensor in tensors if not tensor.dims}


def test_what_was_patched_is_restored(tmp_path: Path) -> None:
    before = _building._process_python_constants
    export_onnx(Scaled(), Signature({"x": "float32[T, N, 3]"}), tmp_path / "b", verify=False)
    assert _building._process_python_constants is before
