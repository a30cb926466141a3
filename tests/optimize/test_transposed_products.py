"""float16 with `batch_first`: no product reads a Transpose, which ends ONNX Runtime's process, and files are right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from rnn_export import Signature, export_onnx
from rnn_export.onnx_file import all_nodes
from torch import Tensor, nn


class Tagger(nn.Module):
    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn, self.fc = rnn, nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0])


def transposed_products(file: Path) -> int:
    nodes = list(all_nodes(onnx.load(file).graph))
    transposed = {node.output[0] for node in nodes if node.op_type == "Transpose"}
    return sum(node.op_type == "MatMul" and node.input[0] in transposed for node in nodes)


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("lowering", ["native", "scan"])
def test_a_float16_model_with_the_batch_first(layer: type[nn.RNNBase], lowering: str, tmp_path: Path) -> None:
    model, signature = Tagger(layer(3, 4, 2, batch_first=True)).half(), Signature({"x": "float16[N, T, 3]"})
    folder = export_onnx(model, signature, tmp_path / "out", verify=False, lowering=lowering).folder
    assert transposed_products(folder / "model.onnx") == 0
    command = f"import rnn_export; assert rnn_export.verify({str(folder)!r}).passed"
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", command], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_other_dtypes_stay_as_they_are(tmp_path: Path) -> None:
    model, signature = Tagger(nn.RNN(3, 4, batch_first=True)), Signature({"x": "float32[N, T, 3]"})
    folder = export_onnx(model, signature, tmp_path / "out", verify=False).folder
    assert transposed_products(folder / "model.onnx") >= 1
