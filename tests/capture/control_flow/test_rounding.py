"""Whole numbers that Python makes of quotients of sizes: down, up, to the nearest, of negative ones too."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 2), (2, 1), (3, 3), (4, 2), (5, 2), (6, 2), (7, 1), (8, 3), (41, 2))


def down(n: int) -> tuple[int, ...]:
    return math.floor(n / 2) + 1, math.floor(n / 3 + 1), int(np.floor(n / 2)) + 1, int(n / 4) + 1


def up(n: int) -> tuple[int, ...]:
    return math.ceil((n + 1) / 4 * 2), int(np.ceil(n / 3)), math.ceil(n * 0.5)


def to_the_nearest(n: int) -> tuple[int, ...]:
    return round(n / 2) + 1, round(n / 4 + 0.5) + 1, int(np.round((n - 1) / 2)) + 1


def from_below_zero(n: int) -> tuple[int, ...]:
    return math.floor(n / 2 - 5) + 6, math.trunc(n / 2 - 5) + 6, round(n / 2 - 5) + 7, (n - 10) // 3 + 4


def with_a_rest(n: int) -> tuple[int, ...]:
    whole, rest = divmod(n, 3)
    return whole + 1, rest + 1, (n - 10) % 3 + 1


class Windows(nn.Module):
    """A layer over as many steps as a rounded number, which is multiplied too."""

    def __init__(self, lengths: Callable[[int], tuple[int, ...]]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.LSTM(3, 4)
        self.lengths = lengths

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        counts = self.lengths(x.size(0))
        return *(self.layer(x[:count])[0] for count in counts), *(x[-1] * count for count in counts)


@pytest.mark.parametrize("lengths", [down, up, to_the_nearest, from_below_zero, with_a_rest])
def test_is_the_same_number_at_every_size(lengths: Callable[[int], tuple[int, ...]], tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(Windows(lengths).eval(), Signature({"x": "float32[T, N, 3]"}), cases)
    written(given, "auto", tmp_path / "model.onnx")
