"""float16 with `batch_first`: no product reads a Transpose, which ends ONNX Runtime's process, and files are right."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
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


LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
LOWERINGS = ("native", "scan")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every layer in every form, in a folder of that name."""
    folder = tmp_path_factory.mktemp("float16")
    for layer, lowering in product(LAYERS, LOWERINGS):
        model = Tagger(layer(3, 4, 2, batch_first=True)).half()
        out = folder / f"{layer.__name__}-{lowering}"
        export_onnx(model, Signature({"x": "float16[N, T, 3]"}), out, verify=False, lowering=lowering)
    return folder


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("lowering", LOWERINGS)
def test_a_float16_model_with_the_batch_first(layer: type[nn.RNNBase], lowering: str, bundles: Path) -> None:
    assert transposed_products(bundles / f"{layer.__name__}-{lowering}" / "model.onnx") == 0


def test_files_of_float16_are_right_and_leave_the_process_running(bundles: Path) -> None:
    command = "import rnn_export, sys; print([rnn_export.verify(bundle).passed for bundle in sys.argv[1:]])"
    arguments = [sys.executable, "-W", "ignore", "-c", command, *map(str, bundles.iterdir())]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{[True] * 6}\n"


def test_other_dtypes_stay_as_they_are(tmp_path: Path) -> None:
    model, signature = Tagger(nn.RNN(3, 4, batch_first=True)), Signature({"x": "float32[N, T, 3]"})
    folder = export_onnx(model, signature, tmp_path / "out", verify=False).folder
    assert transposed_products(folder / "model.onnx") >= 1
