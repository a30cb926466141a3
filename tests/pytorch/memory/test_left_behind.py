"""A model that was called before its export is refused with what that call left, or begins anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rnn_export import Stream, export_onnx
from rnn_export.errors import RnnExportError
from torch import Tensor, nn


def cell(model: Any, x: Tensor) -> Tensor:
    model.h = model.cell(x, model.h)
    return model.h


def remade(model: Any, x: Tensor) -> Tensor:
    if model.h is None or model.h.shape != x.shape:
        model.h = torch.zeros_like(x)
    model.h = model.h * 0.5 + x
    return model.h


def cache(model: Any, x: Tensor) -> Tensor:
    model.h = x[:, None] if model.h is None else torch.cat([model.h, x[:, None]], 1)
    return model.h.mean(1)


class Called(nn.Module):
    def __init__(self, step: Callable[[Any, Tensor], Tensor], sequences: int) -> None:
        super().__init__()
        self.cell, self.step = nn.GRUCell(4, 4), step
        self.h: Tensor | None = None
        self.constant = torch.ones(4)
        with torch.no_grad():
            self(torch.randn(sequences, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.step(self, x * self.constant)


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("step", [cell, cache])
def test_what_is_left_at_another_size_is_named(step: Any, sequences: int, tmp_path: Path) -> None:
    with pytest.raises(RnnExportError, match=r"self\.h holds what an earlier call has left.* give the model a method"):
        export_onnx(Called(step, sequences), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)


def test_what_is_left_and_made_anew_at_another_size_is_named(tmp_path: Path) -> None:
    with pytest.raises(RnnExportError, match=r"self\.h holds what an earlier call has left"):
        export_onnx(Called(remade, 3), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)


def test_the_remedies_are_right(tmp_path: Path) -> None:
    class Resetting(Called):
        def reset(self) -> None:
            self.h = None

    undone = Called(cell, 3)
    undone.h = None
    for k, model in enumerate((Resetting(cell, 3), undone)):
        export_onnx(model, "x: float32[N, 4]", tmp_path / str(k), stateful=True)
        assert [*Stream(tmp_path / str(k)).states] == ["h0"]


def test_what_is_left_and_never_read_does_no_harm(tmp_path: Path) -> None:
    def recorded(model: Any, x: Tensor) -> Tensor:
        model.last = x * 2
        model.total = model.total * 0.5 + x.mean(0)
        return x + model.total

    model = Called(cell, 1)
    model.h, model.step, model.total = None, recorded, torch.zeros(4)
    model.last = torch.randn(3, 4)
    export_onnx(model, "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    assert {*Stream(tmp_path / "bundle").states} == {"last0", "total0"}
