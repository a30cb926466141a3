"""Parameters that forward writes to are states; the model of the caller keeps its own."""

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


def in_place(model: Any, x: Tensor) -> None:
    with torch.no_grad():
        model.weight.mul_(0.9).add_(0.1 * x.mean(0))


def by_data(model: Any, x: Tensor) -> None:
    model.weight.data = model.weight.data * 0.9 + 0.1 * x.mean(0)


def to_data(model: Any, x: Tensor) -> None:
    model.weight.data += 0.1 * x.mean(0).detach() - 0.05 * model.weight.data


class Written(nn.Module):
    def __init__(self, write: Callable[[Any, Tensor], None]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        self.write(self, x)
        return x * self.weight


@pytest.mark.parametrize("write", [in_place, by_data, to_data])
def test_a_written_parameter_is_a_state(write: Callable[[Any, Tensor], None], tmp_path: Path) -> None:
    model = Written(write)
    export_onnx(model, "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    assert isinstance(model.weight, nn.Parameter)
    assert torch.equal(model.weight, torch.ones(4))
    stream = Stream(tmp_path / "bundle", sizes={"N": 2})
    assert [*stream.states] == ["weight0"]
    with torch.no_grad():
        for x in torch.randn(20, 2, 4):
            assert np.allclose(stream.step(x.numpy()), model(x).numpy(), atol=1e-5)


class Sly(Written):
    def forward(self, x: Tensor) -> Tensor:
        in_place(self, x)
        return x * sum(each.sum() for each in self.parameters())


class Replaced(Written):
    def forward(self, x: Tensor) -> Tensor:
        self.weight = nn.Parameter(self.weight * 0.9 + x.mean(0))
        return x * self.weight


@pytest.mark.parametrize("kind", [Sly, Replaced])
def test_one_that_is_found_or_set_otherwise_is_refused(kind: type[Written], tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"writes to the parameter self\.weight.* register_buffer"):
        export_onnx(kind(in_place), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)


def test_an_embedding_that_is_made_shorter_is_no_memory(tmp_path: Path) -> None:
    class Bounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.cell = nn.Embedding(5, 4, max_norm=0.5), nn.GRUCell(4, 4)
            self.h: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.h = self.cell(self.embed(x), self.h)
            return self.h

    export_onnx(Bounded(), "x: int64[N] in 0..4", tmp_path / "bundle", stateful=True)
    assert [*Stream(tmp_path / "bundle").states] == ["h0"]
