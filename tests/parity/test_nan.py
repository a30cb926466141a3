"""NaN: excused where it reaches, if an input holds it and a kernel is known to treat it otherwise; else not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import ParityError, Signature, export_onnx
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)
        self.fc = nn.Linear(4, 5)
        self.norm = nn.LayerNorm(3)


class OwnNan(Lstm):
    """NaN that the model makes of ordinary input, over which the maximum passes in ONNX Runtime."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(self.rnn(x)[0]).amax(0)


class Threshold(Lstm):
    def forward(self, x: Tensor) -> Tensor:
        return (torch.sigmoid(self.fc(self.rnn(x)[0])) > 0.5).float()


class Arguments(Lstm):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.fc(self.rnn(self.norm(x))[0])
        return logits, logits.argmax(-1)


class Maximum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0].max(0)[0]


class Cells(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 4)
        c = torch.zeros_like(h)
        outputs = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], (h, c))
            outputs.append(h)
        return torch.stack(outputs)


def test_nan_of_the_models_own_is_not_excused(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="where PyTorch has nan"):
        export_onnx(OwnNan(), X, tmp_path / "out")


@pytest.mark.parametrize("model", [Threshold, Arguments, Maximum])
def test_what_kernels_make_of_nan_is_known_and_nothing_else(model: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    report = export_onnx(model(), X, tmp_path / "out").report
    assert report.passed
    assert {result.case.values for result in report.cases if result.verdict == "KNOWN"} <= {"infinite", "nan"}
    assert report.count("KNOWN") >= 1


def test_a_rolled_loop_passes_nan_on(tmp_path: Path) -> None:
    report = export_onnx(Cells(), X, tmp_path / "out").report
    assert report.passed
    assert report.count("KNOWN") == 0
