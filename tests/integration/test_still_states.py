"""What forward writes is a state also where the few calls that are tried leave its value as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import Stream, export_onnx
from rnn_export.parity.in_words import shown
from torch import Tensor, nn


class Cell(nn.Module):
    """Something that every call changes."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.h = nn.GRUCell(3, 3), None


class Peak(Cell):
    """A buffer that every call writes to, of what ordinary inputs never reach."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("top", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.h = self.cell(x, self.h)
        self.top.copy_(torch.maximum(self.top, torch.relu(x.amax(0) - 100)))
        return self.h + self.top


class Alarm(Cell):
    """A buffer that is written in place on a decision that ordinary inputs never take."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("over", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.h = self.cell(x, self.h)
        if x.max() > 100:
            self.over.add_(1)
        return self.h + self.over


class Late(nn.Module):
    """A tensor that the first call makes, and one after the two thousandth writes."""

    def __init__(self) -> None:
        super().__init__()
        self.n, self.h = 0, None

    def forward(self, x: Tensor) -> Tensor:
        if self.h is None:
            self.h = torch.zeros(x.shape[0], 3)
        self.n += 1
        if self.n >= 2050:
            self.h = self.h * 0.5 + x
        return x + self.h


STILL = [(Peak, {"h0", "top0"}), (Alarm, {"h0", "over0"}), (Late, {"h0", "n0"})]


@pytest.mark.parametrize(("kind", "states"), STILL)
def test_what_ordinary_calls_leave_as_it_was(kind: type[nn.Module], states: set[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = kind()
    export_onnx(model, "x: float32[N, 3]", tmp_path / "out", stateful=True)
    stream, random = Stream(tmp_path / "out", sizes={"N": 2}), np.random.default_rng(0)
    assert {*stream.states} == states
    for k in range(2060):
        x = (random.standard_normal((2, 3)) * (200 if k == 7 else 1)).astype(np.float32)
        got = stream.step(x)
        with torch.no_grad():
            np.testing.assert_allclose(got, model(torch.from_numpy(x)).numpy(), atol=1e-4)


def test_what_is_shown_of_a_state_that_grows(tmp_path: Path) -> None:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.past = None

        def forward(self, x: Tensor) -> Tensor:
            self.past = x if self.past is None else torch.cat([self.past, x], 1)
            return self.past.mean(1)

    exported = export_onnx(Growing(), "x: float32[N, 1, 3]", tmp_path / "out", stateful=True)
    assert exported.report is not None
    assert "cases" in shown(exported.report)
