"""Python's `math` of numbers that are computed from tensors, in a file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rnn_export import Stream, export_onnx
from torch import Tensor, nn


def annealed(t: Any) -> Any:
    return 0.5 * (1 + math.cos(math.pi * min(t, 9) / 9))


def corrected(t: Any) -> Any:
    return math.sqrt(1 - 0.9**t) / (1 - math.pow(0.8, t))


def rounded(t: Any) -> Any:
    return math.floor(t / 3) + math.ceil(t / 4) + round(t / 2) + math.trunc(-t / 5)


def spread(t: Any) -> Any:
    return math.exp(-t / 7) + math.log1p(t) + math.tanh(t / 3) + math.sin(t)


class Counting(nn.Module):
    def __init__(self, gain: Callable[[Any], Any]) -> None:
        super().__init__()
        self.t, self.gain = 0, gain
        self.register_buffer("rate", torch.tensor([0.5]))

    def forward(self, x: Tensor) -> Tensor:
        self.t += 1
        return x * self.gain(self.t) + math.exp(self.rate)


@pytest.mark.parametrize("gain", [annealed, corrected, rounded, spread])
def test_of_a_counter(gain: Callable[[Any], Any], tmp_path: Path) -> None:
    model = Counting(gain)
    export_onnx(model, "x: float32[N, 2]", tmp_path / "bundle", stateful=True)
    stream = Stream(tmp_path / "bundle", sizes={"N": 1})
    for x in torch.randn(30, 1, 2):
        assert np.allclose(stream.step(x.numpy()), model(x).numpy(), atol=1e-5)


def test_of_a_value(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * math.exp(x.mean()) + round(float(x.sum()))

    exported = export_onnx(Scaled(), "x: float32[N, 3]", tmp_path / "bundle")
    assert exported.report is not None
    assert exported.report.passed
