"""NaN is excused only in elements that it affects, and only if a kernel is known to handle it differently."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rnn_export import ParityError, Signature, export_onnx, verify
from rnn_export.parity.check import check_case
from rnn_export.parity.expected import Expected
from rnn_export.parity.limits import Tolerance
from rnn_export.parity.reference import Reference
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)
        self.fc = nn.Linear(4, 5)
        self.norm = nn.LayerNorm(3)


class OwnNan(Lstm):
    """The model computes NaN from ordinary input, and ONNX Runtime's maximum ignores it."""

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


def test_nan_that_the_model_computes_is_not_excused(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="where PyTorch has nan"):
        export_onnx(OwnNan(), X, tmp_path / "out")


class Growing(nn.Module):
    """In the longest case its values overflow float32, but not float64."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 6, nonlinearity="relu")
        self.fc = nn.Linear(6, 4)
        with torch.no_grad():
            self.rnn.weight_hh_l0.mul_(4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.fc(self.rnn(x)[0])
        return scores, scores.argmax(-1)


def test_nan_from_overflow_is_known_if_a_kernel_hides_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    report = export_onnx(Growing(), X, tmp_path / "out", lowering="native").report
    assert report.passed
    known = {result.case.sizes["T"] for result in report.cases if result.verdict == "EXPECTED"}
    assert 257 in known
    assert verify(tmp_path / "out").passed


def test_elements_without_overflow_must_be_right() -> None:
    eager, exact = np.array([1.0, np.nan, 2.0], np.float32), np.array([1.0, 1e40, 2.0])
    limits = {"y": Tolerance(np.full(3, 1e-6), np.full(3, 2.0))}
    item = Expected(Case({}, "ordinary", 0), {}, Reference({"y": eager}, {"y": exact}), tolerances=limits)
    got = np.array([1.0, 3.4e38, 2.0], np.float32)

    @dataclass(frozen=True)
    class Given:
        y: NDArray[np.generic]
        hides_nan: str
        spreads_nan: bool = False

        def run(self, inputs: object) -> dict[str, NDArray[np.generic]]:
            return {"y": self.y}

    assert check_case(Given(got, "RNN with Relu"), item).verdict == "EXPECTED"
    assert check_case(Given(got, ""), item).verdict == "FAIL"
    assert check_case(Given(got + np.float32([0.1, 0, 0]), "RNN with Relu"), item).verdict == "FAIL"


@pytest.mark.parametrize("model", [Threshold, Arguments, Maximum])
def test_only_what_kernels_make_of_nan_is_known(model: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    report = export_onnx(model(), X, tmp_path / "out").report
    assert report.passed
    assert {result.case.values for result in report.cases if result.verdict == "EXPECTED"} <= {"infinite", "nan"}
    assert report.count("EXPECTED") >= 1


class Gate(nn.Module):
    """Zeros, ones and clipped values: x [T, N, 3] to two outputs [T, N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.rnn(x)[0]
        return (y > 0.1).float(), torch.where(y > 0.01, y, -0.3)


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_after_a_kernel_that_hides_nan_are_known(seed: int, tmp_path: Path) -> None:
    torch.manual_seed(seed)
    report = export_onnx(Gate(), X, tmp_path / "b", seed=seed).report
    assert report is not None
    assert {case.verdict for case in report.cases if case.case.values == "nan"} <= {"EXPECTED", "PASS"}


def test_a_rolled_loop_propagates_nan(tmp_path: Path) -> None:
    report = export_onnx(Cells(), X, tmp_path / "out").report
    assert report.passed
    assert report.count("EXPECTED") == 0
