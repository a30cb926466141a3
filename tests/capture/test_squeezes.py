"""`squeeze` over T or N: right where it makes no difference at size 1, and else refused with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import CaptureError, Signature, export_onnx
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

X = Signature({"x": "float32[N, T, 4]"})
SIZES = ((1, 1), (1, 3), (2, 1), (3, 2), (31, 1), (40, 3))


class Cells(nn.Module):
    def __init__(self, forward: Callable[[Cells, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(4, 6)
        self.again = nn.Linear(6, 6)
        self.kind = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.kind(self, x)

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(self.mix(x) + self.again(h))


def of_each_step(self: Cells, x: Tensor) -> Tensor:
    h, outs = x.new_zeros(x.size(0), 6), []
    for t in range(x.size(1)):
        h = self.step(torch.squeeze(x[:, t : t + 1, :]), h)
        outs.append(h)
    return torch.stack(outs, 1)


def of_a_state_with_layers(self: Cells, x: Tensor) -> Tensor:
    h, outs = x.new_zeros(1, x.size(0), 6), []
    for t in range(x.size(1)):
        h = self.step(x[:, t], h.squeeze(0))
        outs.append(h)
    return torch.stack(outs, 1)


def before_what_broadcasts(self: Cells, x: Tensor) -> Tensor:
    return self.mix(x.sum(1, keepdim=True).squeeze()) + x.new_zeros(x.size(0), 6)


def before_a_sum(self: Cells, x: Tensor) -> Tensor:
    return self.mix(x.squeeze(0)).reshape(-1, 6).sum(0)


def of_what_is_longer_than_one(self: Cells, x: Tensor) -> Tensor:
    return torch.cat([x, x], 1).squeeze(1).mean(-1)


@pytest.mark.parametrize(
    "kind",
    [of_each_step, of_a_state_with_layers, before_what_broadcasts, before_a_sum, of_what_is_longer_than_one],
)
def test_what_makes_no_difference_is_right_at_every_size(
    kind: Callable[[Cells, Tensor], Tensor], tmp_path: Path
) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    written(translated(Cells(kind).eval(), X, cases), "auto", tmp_path / "model.onnx")


def of_the_result(self: Cells, x: Tensor) -> Tensor:
    return self.mix(x.sum(1, keepdim=True).squeeze())


def of_what_a_step_puts_out(self: Cells, x: Tensor) -> Tensor:
    outs = []
    for t in range(x.size(1)):
        outs += [self.mix(x[:, t].squeeze())]
    return torch.stack(outs)


def before_a_mean_over_the_first(self: Cells, x: Tensor) -> Tensor:
    return self.mix(x.squeeze(0).mean(0)).reshape(-1)[:6]


def of_what_is_left(self: Cells, x: Tensor) -> Tensor:
    return x[:, 3:].squeeze(1).mean(-1)


@pytest.mark.parametrize(
    "kind", [of_the_result, of_what_a_step_puts_out, before_a_mean_over_the_first, of_what_is_left]
)
def test_a_rank_that_depends_on_a_size_is_refused(kind: Callable[[Cells, Tensor], Tensor], tmp_path: Path) -> None:
    line = kind.__code__.co_firstlineno + (3 if kind is of_what_a_step_puts_out else 1)
    with pytest.raises(CaptureError, match=rf"squeeze at .*test_squeezes\.py:{line} removes .*squeeze\(-1\)"):
        export_onnx(Cells(kind).eval(), X, tmp_path / "out")
