"""Sizes that values of an input say: how many groups there are, how long the longest is, how many rows are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn import functional as F

SIZES = (1, 2, 3, 8, 40)


class Grouped(nn.Module):
    def __init__(self, forward: Callable[[Grouped, Tensor, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.LSTM(3, 4, batch_first=True)
        self.kind = forward

    def forward(self, x: Tensor, index: Tensor) -> object:
        return self.kind(self, x, index)


def groups_as_sequences(self: Grouped, x: Tensor, index: Tensor) -> object:
    index = index.sort().values
    groups = int(index.max()) + 1
    counts = index.new_zeros(groups).scatter_add_(0, index, torch.ones_like(index))
    longest = int(counts.max())
    begins = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    dense = x.new_full([groups * longest, x.size(1)], 0.0)
    dense[torch.arange(x.size(0)) - begins[index] + index * longest] = x
    return self.layer(dense.view(groups, longest, x.size(1)))[0][:, -1], torch.bincount(index)


def classes_that_nobody_counted(self: Grouped, x: Tensor, index: Tensor) -> object:
    return F.one_hot(index), F.one_hot(index.unsqueeze(1)).squeeze(1).float().t() @ x, F.one_hot(index, 9)


def rows_repeated_and_left_out(self: Grouped, x: Tensor, index: Tensor) -> object:
    longer = x.repeat_interleave(index + 1, dim=0)
    return self.layer(longer[None])[0], x[index > 2], torch.masked_select(x, index[:, None] > 2).view(-1, 3)


def places_of_what_is_not_zero(self: Grouped, x: Tensor, index: Tensor) -> object:
    rows = torch.nonzero(index).squeeze(1)
    return x[rows], index.nonzero(), torch.zeros(int(index.sum()), 2), x[torch.where(x > 0)]


KINDS = [
    groups_as_sequences,
    classes_that_nobody_counted,
    rows_repeated_and_left_out,
    places_of_what_is_not_zero,
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_right_for_any_values(kind: Callable[[Grouped, Tensor, Tensor], object], tmp_path: Path) -> None:
    signature = Signature({"x": "float32[M, 3]", "index": "int64[M] in 0..5"})
    cases = [Case({"M": m}, "ordinary", seed) for m in SIZES for seed in (1, 2)]
    given = translated(Grouped(kind).eval(), signature, cases)
    written(given, "auto", tmp_path / "model.onnx")
