"""What a call records of its own sequence is no state; one that is read, or a list of steps, is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rnn_export import Stream, export_onnx
from rnn_export.errors import CaptureError
from torch import Tensor, nn


class Neuron(nn.Module):
    """Goes through a sequence, keeps its potential, and what `keep` makes of all of them."""

    def __init__(self, keep: Callable[[Any, Tensor, list[Tensor]], Tensor]) -> None:
        super().__init__()
        self.keep, self.record = keep, None
        self.v: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        steps = []
        for each in x:
            self.v = self.v * 0.8 + each
            steps.append(self.v)
        return self.keep(self, torch.stack(steps), steps)


def written(model: Any, y: Tensor, steps: list[Tensor]) -> Tensor:
    model.record = y
    return torch.tanh(y)


def read(model: Any, y: Tensor, steps: list[Tensor]) -> Tensor:
    before, model.record = model.record, y
    return y if before is None else y + before[-1]


def listed(model: Any, y: Tensor, steps: list[Tensor]) -> Tensor:
    model.record = steps
    return torch.tanh(y)


def test_a_record_is_no_state(tmp_path: Path) -> None:
    export_onnx(Neuron(written), "x: float32[T, N, 4]", tmp_path / "bundle", stateful=True)
    stream, model = Stream(tmp_path / "bundle", sizes={"N": 2}), Neuron(written)
    assert [*stream.states] == ["v0"]
    for chunk in torch.randn(12, 2, 4).split([3, 1, 6, 2]):
        assert np.allclose(stream.run(chunk.numpy()), model(chunk).numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("keep", "why"),
    [
        (read, r"self\.record is as long as the sequence of one call, and the next, which may be longer, reads it"),
        (listed, r"self\.record holds more items for a longer sequence\. Keep them in a local variable, or as one"),
    ],
)
def test_what_cannot_be_left_out_is_refused(keep: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=why):
        export_onnx(Neuron(keep), "x: float32[T, N, 4]", tmp_path / "bundle", stateful=True)
