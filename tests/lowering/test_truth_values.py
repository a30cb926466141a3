"""Truth values are chosen from by logic: ONNX Runtime's CPU provider has no `Where` of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn


class Chosen(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.where(x.sum(1, keepdim=True) > 0, x > 0, x < 1)
        return mask, x * mask


class Decided(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if x.sum() > 0:  # noqa: SIM108
            mask = x > 0
        else:
            mask = x < 1
        return mask, x * mask


@pytest.mark.parametrize("model", [Chosen(), Decided()])
def test_runs_and_is_right(model: nn.Module, tmp_path: Path) -> None:
    cases = [Case({"N": n}, "ordinary", seed) for n in (1, 2, 5) for seed in (1, 2, 3, 4)]
    given = translated(model.eval(), Signature({"x": "float32[N, 3]"}), cases)
    written(given, "auto", tmp_path / "model.onnx")
