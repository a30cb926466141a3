"""Weights that are computed from parameters alone become constants under the layer's names, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn
from torch.nn.utils import parametrizations

X = Signature({"x": "float32[T, N, 3]"})


def graph(model: nn.Module, out: Path, signature: Signature = X) -> onnx.GraphProto:
    export_onnx(model, signature, out)
    return onnx.load(out / "model.onnx").graph


def stored(graph: onnx.GraphProto) -> int:
    """How many floating-point numbers the file holds."""
    return sum(
        onnx.numpy_helper.to_array(tensor).size
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    )


def test_a_normed_layer_is_the_same_graph_as_a_plain_one(tmp_path: Path) -> None:
    layer = nn.LSTM(3, 4)
    plain = graph(layer, tmp_path / "plain")
    parametrizations.weight_norm(layer, "weight_hh_l0")
    normed = graph(layer, tmp_path / "normed")
    assert [node.op_type for node in normed.node] == [node.op_type for node in plain.node]
    assert {tensor.name for tensor in normed.initializer} == {tensor.name for tensor in plain.initializer}


def test_a_parameter_that_is_used_as_it_is_and_computed_with_stays_one(tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(64, 64))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight + x @ self.weight.t()

    signature = Signature({"x": "float32[T, N, 64]"})
    assert stored(graph(Both(), tmp_path / "out", signature)) == 64 * 64


def test_what_grows_is_left_to_run_time(tmp_path: Path) -> None:
    class Grows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3))

        def forward(self, x: Tensor) -> Tensor:
            return x[:1, :1] * torch.tanh(self.weight.repeat(500, 500, 1)[:2, :2])

    assert stored(graph(Grows(), tmp_path / "out")) < 20


def test_a_buffer_that_is_written_is_read_as_the_first_call_leaves_it(tmp_path: Path) -> None:
    class Counts(nn.Module):
        count: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return x * torch.exp(self.count)

    (factor,) = graph(Counts(), tmp_path / "out").initializer
    np.testing.assert_allclose(onnx.numpy_helper.to_array(factor), np.exp([1.0] * 3), rtol=1e-6)


def test_windows_have_the_numbers_of_pytorch(tmp_path: Path) -> None:
    class Windowed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weights = torch.stack([torch.hamming_window(3), torch.kaiser_window(3), torch.blackman_window(3)])
            return x @ weights

    export_onnx(Windowed(), X, tmp_path / "b")


def test_a_weight_that_is_computed_from_a_number_in_forward_has_a_name_of_its_own(tmp_path: Path) -> None:
    class Squared(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            weight = torch.tensor([2.0, 3.0, 5.0])
            return torch.fft.irfft(torch.fft.rfft(x * weight), n=3) * (weight * weight)

    export_onnx(Squared(), X, tmp_path / "b")
