"""A fault of the model is met with its line, its cause, and a remedy that mends it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from rnn_export import LoadError, Signature, export_onnx
from rnn_export.pytorch.state_sizes import has_wrong_batch
from torch import Tensor, nn
from torch.nn import functional as F

X, Y = "float32[T, N, 3]", "float32[N, T, 3]"


class Model(nn.Module):
    """Models that are wrong in `forward` at the line that is marked."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 4, num_layers=2)
        self.lstm = nn.LSTM(3, 4)
        self.first = nn.GRU(3, 4, batch_first=True)
        self.both = nn.GRU(3, 4, bidirectional=True)
        self.cell = nn.GRUCell(3, 4)
        self.fc = nn.Linear(4, 2)


class StepsForBatch(Model):
    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(2, x.size(0), 4)
        return self.rnn(x, h0)[0]  # here


class BatchForSteps(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.first(x, torch.zeros(1, x.size(1), 4))[0]  # here


class StepsForBatchOfLstm(Model):
    def forward(self, x: Tensor) -> Tensor:
        h0 = torch.zeros(1, len(x), 4)
        return self.lstm(x, (h0, h0))[0]  # here


class StepsForBatchOfCell(Model):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.shape[0], 4)
        for step in x:
            h = self.cell(step, h)  # here
        return h


class StepsOfTokens(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(F.one_hot(x.T, 3).float(), torch.zeros(2, x.size(1), 4))[0]  # here


class BatchOfTraining(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, torch.zeros(2, 32, 4))[0]  # here


class TooFewDirections(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.both(x, torch.zeros(1, x.size(1), 4))[0]  # here


class FlatState(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, torch.zeros(x.size(1), 4))[0]  # here


class LayersOfCell(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x[0], torch.zeros(1, x.size(1), 4))  # here


class OneStateOfLstm(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x, torch.zeros(1, x.size(1), 4))[0]  # here


class NotSet(Model):
    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.rnn(x)
        return self.fc(output.reshape(-1, self.hidden_size))  # here


class NowhereSet(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0] * self.temperature  # here


class Misspelt(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.lsmt(x)[0]  # here


class OtherDevice(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, torch.zeros(2, x.size(1), 4, device="meta"))[0]  # here


class OfCuda(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x[0], x[0].new_zeros(x.size(1), 4).to("cuda:99"))  # here


class BothDirections(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.both(x)[0])  # here


class TupleOfLayer(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x))  # here


class WholeOneHot(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(F.one_hot(x.T, 3))[0]  # here


class FewClasses(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(F.one_hot(x.T, 3).float())[0]  # here


class NumbersInShape(Model):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(x)[0].view(35 * 32, 4))  # here


TOKENS = "int64[N, T] in 0..2"


class ImportedLate(Model):
    def forward(self, x: Tensor) -> Tensor:
        import package_of_nobody  # type: ignore[import-not-found]  # here

        return x * package_of_nobody.FACTOR  # type: ignore[no-any-return]


FAULTS: dict[type[Model], tuple[str, str]] = {
    StepsForBatch: (X, "was made with x.size(0), but here the layer's batch is x.size(1)"),
    BatchForSteps: (Y, "was made with x.size(1), but here the layer's batch is x.size(0)"),
    StepsForBatchOfLstm: (X, "was made with x.size(0), but here the layer's batch is x.size(1)"),
    StepsForBatchOfCell: (X, "was made with x.size(0), but here the layer's batch is x.size(1)"),
    StepsOfTokens: (TOKENS, "was made with x.size(1), but here the layer's batch is x.size(0)"),
    BatchOfTraining: (
        X,
        "take their number from the input, such as x.size(1), or describe the input with 32.",
    ),
    TooFewDirections: (X, "as the layer takes it: [layers times directions, N, hidden size]"),
    FlatState: (X, "as the layer takes it: [layers times directions, N, hidden size]"),
    LayersOfCell: (X, "as the layer takes it: [N, hidden size]"),
    OneStateOfLstm: (X, "give (h0, c0)"),
    NotSet: (X, "Set self.hidden_size in __init__ of NotSet, or read self.rnn.hidden_size."),
    NowhereSet: (X, "Set self.temperature in __init__ of NowhereSet."),
    Misspelt: (X, "Nothing sets self.lsmt. Did you mean 'lstm'?"),
    OtherDevice: (X, "torch.zeros(..., device=x.device)"),
    OfCuda: (X, "leave out .cuda()"),
    BothDirections: (X, "two directions gives twice its hidden_size"),
    TupleOfLayer: (X, "output, h_n = self.rnn(x)"),
    WholeOneHot: (TOKENS, "until .float() is called"),
    FewClasses: ("int64[N, T] in 0..27", "Describe the range of the whole numbers as the model takes them"),
    ImportedLate: (X, "Install it, or import it at the top of the file"),
    NumbersInShape: (X, "such as output.size(0), or write -1"),
}


def _line(model: type[Model]) -> str:
    """The marked line, as messages spell it."""
    lines, start = inspect.getsourcelines(model)
    marked = next(number for number, line in enumerate(lines, start) if "# here" in line)
    return f"test_remedies.py:{marked} for x "


@pytest.mark.parametrize("model", FAULTS, ids=lambda model: model.__name__)
def test_a_fault_is_met_with_its_line_and_its_remedy(model: type[Model], tmp_path: Path) -> None:
    described, said = FAULTS[model]
    with pytest.raises(LoadError) as refused:
        export_onnx(model(), Signature({"x": described}), tmp_path / "out")
    assert said in str(refused.value)
    assert _line(model) in str(refused.value)


@pytest.mark.parametrize("model", [StepsForBatch, StepsForBatchOfCell])
def test_an_example_of_as_many_steps_as_sequences_does_not_hide_it(model: type[Model], tmp_path: Path) -> None:
    example: dict[str, Any] = {"x": torch.randn(6, 6, 3)}
    with pytest.raises(LoadError, match=r"was made with x.size\(0\), but here the layer's batch is x.size\(1\)"):
        export_onnx(model(), Signature({"x": X}), tmp_path / "out", example=example)


def test_a_state_that_is_an_input_is_to_be_described() -> None:
    x, h = torch.zeros(7, 5, 3), torch.zeros(1, 7, 4)
    layer = "Expected hidden size (1, 5, 4), got [1, 7, 4]"
    cell = "Input batch size 5 doesn't match hidden0 batch size 7"
    assert has_wrong_batch(layer, {"x": x})
    assert not has_wrong_batch(layer, {"x": x, "h": h})
    assert has_wrong_batch(cell, {"x": x})
    assert not has_wrong_batch(cell, {"x": x, "h": h[0]})
    assert has_wrong_batch(layer.replace("7", "32"), {"x": x})
    assert not has_wrong_batch("Expected hidden size (2, 5, 4), got [1, 7, 4]", {"x": x})
