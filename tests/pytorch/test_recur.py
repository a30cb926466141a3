"""recur and recur_until: plain loops in PyTorch, one Scan or Loop in the export (tests/lowering/test_loops.py)."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from rnn_export import InputError, Recurrent, Signature, export_onnx, recur, recur_until
from torch import Tensor, nn


class Gated(nn.Module):
    """A cell that puts out something else than its state."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.out = nn.Linear(9, 5), nn.Linear(5, 2)

    def forward(self, x: dict[str, Tensor], h: Tensor) -> tuple[Tensor, Tensor]:
        gate = torch.sigmoid(self.gate(torch.cat([x["a"], h], -1)))
        h = gate * h + (1 - gate) * x["b"]
        return self.out(h), h


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.cell = Recurrent(nn.LSTMCell(3, 4)), Gated()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        zeros = x.new_zeros(x.size(1), 4)
        ys, (h, c) = self.lstm(x, (zeros, zeros))
        logits, g = recur(
            self.cell, {"a": ys, "b": ys.mean(-1, keepdim=True).expand(-1, -1, 5)}, x.new_ones(x.size(1), 5)
        )
        return logits, h, c, g


def test_recur_is_the_loop() -> None:
    cell, x, h = nn.GRUCell(3, 4), torch.randn(6, 2, 3), torch.randn(2, 4)
    ys, last = recur(cell, x, h)
    expected = []
    for step in x:
        h = cell(step, h)
        expected.append(h)
    assert torch.equal(ys, torch.stack(expected))
    assert torch.equal(last, h)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recur_is_one_scan(dtype: str, tmp_path: Path) -> None:
    model = Model().to(getattr(torch, dtype))
    exported = export_onnx(model, Signature({"x": f"{dtype}[T, N, 3]"}), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.passed
    kinds = [node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node]
    assert kinds.count("Scan") == 2
    assert "Loop" not in kinds


@pytest.mark.parametrize(
    ("xs", "message"),
    [
        (torch.zeros(0, 2, 3), "recur was given 0 time steps. Give tensors of one length T of at least 1."),
        ((torch.zeros(2, 3), torch.zeros(3, 3)), "recur was given 2 and 3 time steps. "),
        ((), "recur was given no time steps. "),
    ],
)
def test_steps_that_do_not_fit_are_refused(xs: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        recur(nn.GRUCell(3, 4), xs, torch.zeros(2, 4))


def test_a_cell_that_returns_no_state_is_refused() -> None:
    with pytest.raises(
        InputError, match="The cell LSTMCell returns neither a state of the form it is given nor a pair"
    ):
        recur(nn.LSTMCell(3, 3), torch.zeros(2, 1, 3), [torch.zeros(1, 3), torch.zeros(1, 3)])


def test_recur_until_is_the_loop() -> None:
    h = torch.tensor([[1.0, 2.0], [0.5, 0.25], [9.0, 9.0]])
    ys, last = recur_until(lambda h: (h + 1, h * 2), h, lambda h: h.sum(-1) > 10)
    expected, ended = [], torch.zeros(3, dtype=torch.bool)
    while not ended.all():
        expected.append(h + 1)
        h = h * 2
        ended |= h.sum(-1) > 10
    assert torch.equal(ys, torch.stack(expected))
    assert torch.equal(last, h)
    assert len(ys) == 4


def test_a_sequence_that_has_ended_stays_so() -> None:
    """Each is at its end in one step only, and in another one."""
    ys, _ = recur_until(lambda n: n + 1, torch.tensor([0, -2]), lambda n: n == 2)
    assert ys.tolist() == [[1, -1], [2, 0], [3, 1], [4, 2]]


def test_recur_until_ends_at_the_limit_and_has_gradients() -> None:
    layer = nn.Linear(3, 3)
    ys, last = recur_until(lambda h: torch.tanh(layer(h)), torch.ones(2, 3), lambda h: h.new_zeros(()) > 0, limit=5)
    assert ys.shape == (5, 2, 3)
    assert torch.equal(ys[-1], last)
    ys.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_recur_until_refuses_no_step_and_another_form() -> None:
    with pytest.raises(InputError, match="recur_until was given a limit of 0 steps. Give one of at least 1."):
        recur_until(lambda h: h, torch.zeros(2), lambda h: h > 0, limit=0)
    with pytest.raises(InputError, match="neither a state of the form"):
        recur_until(lambda h: [h, h], torch.zeros(2), lambda h: h > 0)
