"""Masks of ones that a model makes for itself: what it asks of them is known, unless it has written to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 1), (1, 2), (2, 1), (5, 3), (41, 2))


class Masked(nn.Module):
    """Skips what is masked: a loop where all are there, and another where some are not."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(3, 4)

    def mask(self, x: Tensor) -> Tensor:
        return torch.ones(x.shape[:2], dtype=torch.long)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.mask(x)[:, -x.size(1) :].to(torch.bool)
        h, outs = x.new_zeros(x.size(0), 4), []
        for t in range(x.size(1)):
            new = self.cell(x[:, t], h)
            h = new if bool(mask[:, t].all().detach().cpu()) else torch.where(mask[:, t, None], new, h)
            outs.append(h)
        if not (mask == 1).all():
            outs = [-h for h in outs]
        return torch.stack(outs, 1)


class Written(Masked):
    def mask(self, x: Tensor) -> Tensor:
        mask = torch.ones(x.shape[:2], dtype=torch.long)
        mask[0, -1] = 0
        return mask


class Empty(nn.Module):
    """Of no elements all are set, also where each would be 0: at T = 1."""

    def forward(self, x: Tensor) -> Tensor:
        rest = torch.zeros(x.shape[:2])[:, 1:]
        return x if rest.all() else 2 * x


@pytest.mark.parametrize("model", [Masked(), Written(), Empty()])
def test_goes_the_way_of_eager(model: nn.Module, tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(model.eval(), Signature({"x": "float32[N, T, 3]"}), cases)
    written(given, "auto", tmp_path / "model.onnx")
