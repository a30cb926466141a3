"""A model that asks whether it is being captured is captured on the way that eager takes, where that can be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from matrix_memory import exported
from torch import Tensor, nn


def _is_captured() -> bool:
    return torch.compiler.is_exporting()


class _Cumulative(nn.Module):
    """Sums over time: by an operator in eager, by a loop over rows of a matrix in a capture."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        if _is_captured():
            self.taken.append("rows")
            rows = torch.eye(40)
            for i in range(1, 40):
                rows[i, :i] = rows[i, :i] + rows[i - 1, :i].exp()
            return x.cumsum(1) + 0 * rows.sum()
        self.taken.append("operator")
        return x.cumsum(1)


class _Causal(nn.Module):
    """A mask that eager leaves out at one step, where a capture always has it."""

    def __init__(self) -> None:
        super().__init__()
        self.masked = False

    def forward(self, x: Tensor) -> Tensor:
        scores = x @ x.transpose(1, 2)
        steps = torch.arange(x.size(1))
        if self.is_skipped(x.size(1)):
            return scores.reshape(x.size(0), 1, 1)
        return scores.masked_fill(steps > steps[:, None], 0.0)

    def is_skipped(self, size: int) -> bool:
        if _is_captured():
            return False
        return size == 1


class _ByValue(nn.Module):
    """A check of values that eager makes and a capture does not."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and bool(x.isnan().any()):
            raise ValueError("x is not a number")
        return x.cumsum(1)


def test_the_way_that_eager_takes_is_captured(tmp_path: Path) -> None:
    model = _Cumulative()
    operators = [node.op_type for node in exported(model, tmp_path).graph.node]
    assert "rows" not in model.taken
    assert operators.count("CumSum") == 1
    assert len(operators) < 5


@pytest.mark.parametrize("model", [_Causal(), _ByValue()])
def test_where_that_cannot_be_it_is_the_way_of_a_capture(model: nn.Module, tmp_path: Path) -> None:
    exported(model, tmp_path)


def test_pytorch_itself_is_told_the_truth(tmp_path: Path) -> None:
    class Scanning(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            told.append((torch.compiler.is_exporting(), torch._utils.is_compiling()))
            h, _ = self.rnn(x)
            return h

        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(4, 3, batch_first=True)

    told: list[tuple[bool, bool]] = []
    exported(Scanning(), tmp_path)
    assert set(told) == {(False, False)}
    assert not torch.compiler.is_exporting()
