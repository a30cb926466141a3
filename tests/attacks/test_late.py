"""What happens after many steps is found: where the code computes when, where random numbers or dtypes decide."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from rnn_export import LoadError, ParityError, Signature, export_onnx
from rnn_export.parity import probe
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 3]"}, ["y"])


@pytest.fixture(autouse=True)
def _enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BUDGET", 60.0)


RANDOM = np.random.default_rng(11)
LATE = int(RANDOM.integers(100, 220))
BASE, TIMES = int(RANDOM.integers(17, 29)), int(RANDOM.integers(31, 43))


@dataclass
class Config:
    base: int = BASE

    @property
    def limit(self) -> int:
        return self.base * TIMES


class Loop(nn.Module):
    """A cell over time, whose state `late` changes at some step."""

    def __init__(self, late: Callable[[Tensor, int], Tensor] = lambda h, t: h) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.late = nn.GRUCell(3, 6), late
        self.base, self.config = BASE, Config()

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = x.new_zeros(x.size(1), 6), []
        for t in range(x.size(0)):
            h = self.at(t, self.cell(x[t], h))
            outputs.append(h)
        return torch.stack(outputs)

    def at(self, t: int, h: Tensor) -> Tensor:
        return self.late(h, t)


class Product(Loop):
    def at(self, t: int, h: Tensor) -> Tensor:
        return h * 0.5 if t == self.base * TIMES else h


class Property(Loop):
    def at(self, t: int, h: Tensor) -> Tensor:
        return -h if t >= self.config.limit else h


class LastFew(Loop):
    def forward(self, x: Tensor) -> Tensor:
        kept: deque[Tensor] = deque(maxlen=self.base**2)
        for step in super().forward(x):
            kept.append(step)
        return torch.stack(list(kept))


def seeded(h: Tensor, t: int) -> Tensor:
    if t > LATE:
        torch.manual_seed(t)
        h = h + 0.1 * torch.rand(6)
    return h


RANDOM_LATE: dict[str, Callable[[Tensor, int], Tensor]] = {
    "noise": lambda h, t: h + 0.1 * torch.randn_like(h) if t > LATE else h,
    "seeded": seeded,
    "dropout": lambda h, t: nn.functional.dropout(h, 0.1, training=t > LATE),
    "numpy": lambda h, t: h * float(np.random.rand()) if t > LATE else h,
    "clock": lambda h, t: h * (0.5 + time.time_ns() % 2) if t > LATE else h,
}


@pytest.mark.parametrize("late", RANDOM_LATE.values(), ids=RANDOM_LATE)
def test_random_numbers_are_refused_however_late(late: Callable[[Tensor, int], Tensor], tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="random numbers"):
        export_onnx(Loop(late), X, tmp_path / "b")


DTYPE_LATE: dict[str, Callable[[Tensor, int], Tensor]] = {
    "halved": lambda h, t: h * 0.5 if t > LATE and h.dtype == torch.float32 else h,
    "normed": lambda h, t: h / h.norm(dim=-1, keepdim=True) if t > LATE and h.dtype != torch.float64 else h,
}


@pytest.mark.parametrize("late", DTYPE_LATE.values(), ids=DTYPE_LATE)
def test_another_path_in_float64_is_no_excuse(late: Callable[[Tensor, int], Tensor], tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="times the limit"):
        export_onnx(Loop(late), X, tmp_path / "b")


@pytest.mark.parametrize("model", [Product, Property, LastFew])
def test_a_number_that_the_code_computes_is_tried(
    model: type[nn.Module], tmp_path: Path, one_path_captured: None
) -> None:
    with pytest.raises(ParityError):
        export_onnx(model(), X, tmp_path / "b")


def test_without_any_of_it_the_loop_is_right(tmp_path: Path) -> None:
    report = export_onnx(Loop(), X, tmp_path / "b").report
    assert report is not None
    assert report.verdict == "PASS"
