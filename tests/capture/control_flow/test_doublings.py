"""Offsets that double: as many steps as a size can be halved, counted by logarithms, bits, or until it is reached."""

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
from torch.nn import functional as F

SIZES = ((1, 2), (2, 1), (3, 3), (4, 2), (5, 1), (7, 2), (8, 1), (9, 1), (64, 1), (65, 2))


class Doubling(nn.Module):
    """The linear recurrence h = a h + b by Hillis and Steele."""

    steps: Callable[[int], range]
    offset: Callable[[int], int]

    def forward(self, x: Tensor) -> Tensor:
        a, b = torch.sigmoid(x), x
        for i in self.steps(x.size(1)):
            k = self.offset(i)
            b = b + a * F.pad(b[:, :-k], (0, 0, k, 0))
            a = a * F.pad(a[:, :-k], (0, 0, k, 0), value=1.0)
        return b


class ByLogarithm(Doubling):
    def steps(self, size: int) -> range:
        return range(math.ceil(math.log2(size)))

    def offset(self, i: int) -> int:
        return 2**i


class ByNumpysLogarithm(ByLogarithm):
    def steps(self, size: int) -> range:
        return range(int(np.ceil(np.log2(size))))


class ByBits(Doubling):
    def steps(self, size: int) -> range:
        return range((size - 1).bit_length())

    def offset(self, i: int) -> int:
        return 1 << i


class UntilReached(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        a, b, k = torch.sigmoid(x), x, 1
        while k < x.size(1):
            b = b + a * F.pad(b[:, :-k], (0, 0, k, 0))
            a = a * F.pad(a[:, :-k], (0, 0, k, 0), value=1.0)
            k <<= 1
        return b


class Counted(nn.Module):
    """The numbers themselves, as factors."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        n = x.size(1)
        return tuple(
            x * number
            for number in (math.floor(math.log2(n)), int(math.log2(n)) + 1, math.ceil(math.log2(n)), n.bit_length())
        )


@pytest.mark.parametrize("model", [ByLogarithm(), ByNumpysLogarithm(), ByBits(), UntilReached(), Counted()])
def test_is_the_same_at_every_size(model: nn.Module, tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(model.eval(), Signature({"x": "float32[N, T, 3]"}), cases)
    written(given, "auto", tmp_path / "model.onnx")
