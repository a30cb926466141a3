"""A model that keeps nothing but what some values alone write: these states are found by a capture of all ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import Stream, export_onnx
from torch import Tensor, nn


class Alarm(nn.Module):
    """Counts what is louder than anything that is tried."""

    def __init__(self, begin: Tensor | int) -> None:
        super().__init__()
        if isinstance(begin, Tensor):
            self.register_buffer("alarms", begin)
        else:
            self.alarms = begin

    def forward(self, x: Tensor) -> Tensor:
        if x.abs().max() > 1e4:
            self.alarms = self.alarms + 1
        return x * (1 + self.alarms)


class Peak(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.peak = 0.0

    def forward(self, x: Tensor) -> Tensor:
        if float(x.max()) > 1e4:
            self.peak = float(x.max())
        return x + self.peak


@pytest.mark.parametrize("make", [lambda: Alarm(0), lambda: Alarm(torch.zeros(())), Peak])
def test_what_a_decision_alone_writes_is_the_only_state(make: type[nn.Module], tmp_path: Path) -> None:
    exported = export_onnx(make(), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    stream, model = Stream(tmp_path / "bundle"), make()
    assert len(stream.states) == 1
    for scale in (1, 1, 9e4, 1, 8e5, 1):
        x = torch.rand(1, 4) * scale
        assert np.allclose(stream.step(x.numpy()), model(x).numpy(), rtol=1e-5)
    assert exported.report is not None
    assert exported.report.passed
