"""Recurrence as Scan, which float64 models take: every layer and option computes the same, NaN included."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from combinations import BOTH, combinations
from rnn_export import Signature, export_onnx
from torch import Tensor, nn

CELLS = {
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


class WithState(nn.Module):
    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, h0: Tensor) -> Any:
        return self.rnn(x, (h0, h0 * 2) if isinstance(self.rnn, nn.LSTM) else h0)


@combinations(cell=CELLS, layers=(1, 2), bidirectional=BOTH, bias=BOTH, given=BOTH)
def test_matrix(cell: str, layers: int, bidirectional: bool, bias: bool, given: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    rnn = CELLS[cell](3, 4, layers, bidirectional=bidirectional, bias=bias)
    directions = 2 if bidirectional else 1
    inputs = {"x": "float64[T, N, 3]"}
    if given:
        inputs["h0"] = f"float64[{layers * directions}, N, 4]"
    model = (WithState(rnn) if given else rnn).double()
    exported = export_onnx(model, Signature(inputs), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.count("PASS") == 20
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node)
    assert kinds["Scan"] == layers * directions
    assert kinds["MatMul"] == layers * directions * (2 if cell in ("gru", "lstm") else 1)


@pytest.mark.parametrize("opset", [17, 21, 28])
def test_opsets(opset: int, tmp_path: Path) -> None:
    model = nn.GRU(3, 4).double()
    assert export_onnx(model, Signature({"x": "float64[T, N, 3]"}), tmp_path / "out", opset=opset).report.passed
    written = onnx.load(tmp_path / "out" / "model.onnx")
    assert [entry.version for entry in written.opset_import] == [opset]
    assert [node.op_type for node in written.graph.node].count("Scan") == 1
