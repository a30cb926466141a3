"""A weight that is used in several ways is stored once."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from combinations import BOTH, combinations
from rnn_export import Signature, export_onnx
from torch import Tensor, nn


def stored(model: nn.Module, signature: Signature, out: Path) -> int:
    """How many floating-point numbers the file holds."""
    export_onnx(model, signature, out)
    return sum(
        onnx.numpy_helper.to_array(tensor).size
        for tensor in onnx.load(out / "model.onnx").graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    )


class Language(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 8)
        self.rnn = nn.LSTM(8, 8)
        self.out = nn.Linear(8, vocabulary, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.rnn(self.embedding(tokens))[0])


@pytest.mark.parametrize("vocabulary", [50, 3000])
def test_an_embedding_tied_to_the_output_layer(vocabulary: int, tmp_path: Path) -> None:
    tokens = Signature({"tokens": f"int64[T, N] in 0..{vocabulary - 1}"})
    assert stored(Language(vocabulary), tokens, tmp_path / "out") == vocabulary * 8 + 4 * 8 * (8 + 8 + 2)


class Twice(nn.Module):
    """One layer used twice; or two layers of the same parameters."""

    def __init__(self, kind: type[nn.RNNBase], apart: bool) -> None:
        super().__init__()
        self.encoder = kind(6, 6)
        self.decoder = kind(6, 6) if apart else self.encoder
        for name in self.encoder._flat_weights_names:
            setattr(self.decoder, name, getattr(self.encoder, name))

    def forward(self, x: Tensor) -> Tensor:
        y, state = self.encoder(x)
        return self.decoder(y.flip(0), state)[0]


@combinations(kind=[nn.RNN, nn.GRU, nn.LSTM], apart=BOTH, dtype=["float32", "float64"])
def test_a_layer_that_is_used_twice(kind: type[nn.RNNBase], apart: bool, dtype: str, tmp_path: Path) -> None:
    model = Twice(kind, apart).to(getattr(torch, dtype))
    export_onnx(model, Signature({"x": f"{dtype}[T, N, 6]"}), tmp_path / "out")
    weights = sum(parameter.numel() for parameter in model.parameters())
    size = 4 if dtype == "float32" else 8
    held = sum(
        onnx.numpy_helper.to_array(tensor).nbytes
        for tensor in onnx.load(tmp_path / "out" / "model.onnx").graph.initializer
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    )
    assert held <= (weights + 1) * size
