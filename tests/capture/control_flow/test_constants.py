"""What is computed from parameters, buffers and literals alone is known; with an input's size in it, it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import Signature, export_onnx
from rnn_export.capture.control_flow.constants import Constants
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv


def test_a_size_makes_a_constant_none() -> None:
    constants, env = Constants(), ShapeEnv()
    with FakeTensorMode(shape_env=env) as fake:
        stride = fake.from_tensor(torch.tensor(6))
        constants.add(stride, torch.tensor(6))
        length = env.create_unbacked_symint()
        with constants:
            known, unknown = stride + 1, stride + length
            further = unknown * 2
    assert constants.value(known) == 7
    assert constants.value(unknown) is None
    assert constants.value(further) is None


def test_literals_make_constants_and_inputs_do_not() -> None:
    constants = Constants()
    with FakeTensorMode() as fake:
        x = fake.from_tensor(torch.zeros(3))
        with constants:
            times = torch.linspace(0, 1, 5)
            first, *_, last = times.unbind()
            rises, falls = (times[1:] > times[:-1]).all(), first > last
            like, drawn, shifted = x.new_tensor([1.0, 2.0]), torch.rand(2), times + x[0]
    assert constants.value(rises) is True
    assert constants.value(falls) is False
    assert constants.value(like) == [1, 2]
    assert constants.value(drawn) is None
    assert constants.value(shifted) is None


class Solver(nn.Module):
    """An equation is solved between the steps of a recurrence, as solvers of such do it: times decide."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.slope, self.cell, self.times = nn.Linear(4, 4), nn.GRUCell(3, 4), times

    def forward(self, x: Tensor) -> Tensor:
        h, ys = x.new_zeros(x.size(0), 4), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], self._solved(h, torch.linspace(0, 1, self.times)))
            ys.append(h)
        return torch.stack(ys, 1)

    def _solved(self, y: Tensor, times: Tensor) -> Tensor:
        if times[0] > times[1]:
            raise ValueError("the times fall")
        done, j = [y], 1
        for begin, end in zip(times[:-1], times[1:], strict=True):  # noqa: RUF007
            y = y + (end - begin) * torch.tanh(self.slope(y))
            while j < len(times) and end >= times[j]:
                done.append(y)
                j += 1
        return done[-1]


@pytest.mark.parametrize("times", [2, 4, 12])
def test_a_solver_that_asks_its_times_is_exported(times: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert export_onnx(Solver(times), Signature({"x": "float32[N, T, 3]"}), tmp_path / "out").report.passed
