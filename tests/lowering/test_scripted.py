"""The stopgap for Python loops: cells of every kind, loops as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"})


class Steps(nn.Module):
    """for t in range(T), a state per step, stacked."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 4)
        outputs = []
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
            outputs.append(h)
        return torch.stack(outputs)


class Pairs(nn.Module):
    """An LSTM cell, whose state is a pair, and a GRU cell in a container, without a first state."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTMCell(3, 4)
        self.rest = nn.ModuleList([nn.GRUCell(4, 4)])

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 4)
        c = torch.zeros(x.size(1), 4)
        g = self.rest[0](h)
        for step in x:
            h, c = self.first(step, (h, c))
            g = self.rest[0](h, g)
        return g


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, lambda *sizes, bias: nn.RNNCell(*sizes, bias, "relu")])
def test_cells(cell: type[nn.Module], bias: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    exported = export_onnx(Steps(cell(3, 4, bias=bias)), X, tmp_path / "out")
    assert exported.report.count("PASS") == 20
    assert exported.notes[0].startswith("A Python loop or branch depends on a dynamic size")


def test_two_cells_in_one_loop(tmp_path: Path) -> None:
    assert export_onnx(Pairs(), X, tmp_path / "out").report.passed
