"""Loops that end early, and lists that a step asks about: what a step may leave behind, how long a list is by then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 2), (2, 1), (3, 3), (4, 2), (9, 1), (40, 2))


class Steps(nn.Module):
    def __init__(self, forward: Callable[[Steps, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 4)
        self.wide = nn.Linear(4, 7)
        self.of_wide = nn.GRUCell(7, 4)
        self.kind = forward

    def forward(self, x: Tensor) -> object:
        return self.kind(self, x)


def ends_on_a_value_after_a_wider_input(self: Steps, x: Tensor) -> object:
    h, y, outs = x[0], x[0], []
    while True:
        y = self.wide(y)
        h = self.of_wide(y, h)
        outs.append(h)
        if h.mean() > 0.1 or len(outs) == 12:
            break
        y = h
    return torch.stack(outs), h


def reads_after_the_loop_what_it_broke_off_with(self: Steps, x: Tensor) -> object:
    h, y = x[0], x[0]
    for _ in range(x.size(0)):
        z = self.wide(y)
        h = self.of_wide(z, h)
        if h.mean() > 0.1:
            break
        y = h
    return y, z


def breaks_an_inner_loop_whose_state_goes_on(self: Steps, x: Tensor) -> object:
    h, y, outs = x[0], x[0], []
    for t in range(x.size(0)):
        for _ in range(3):
            y = torch.tanh(y + h)
            h = self.cell(x[t], y)
            if h.mean() > 0.1:
                break
            y = y * 0.5
        outs.append(h)
    return torch.stack(outs)


def decides_by_the_length_of_a_list(self: Steps, x: Tensor) -> object:
    h, outs = x[0], []
    for t in range(x.size(0)):
        h = self.cell(x[t], h)
        if len(outs) % 2 == 0:
            h = -h
        outs.append(h * len(outs))
    return torch.stack(outs)


def begins_where_a_list_is_empty(self: Steps, x: Tensor) -> object:
    outs: list[Tensor] = []
    for step in x:
        outs.append(self.cell(step, outs[-1] if outs else x[0] * 0))
    return torch.stack(outs)


def counts_by_a_list(self: Steps, x: Tensor) -> object:
    frames, h, outs = torch.cat([x[:1] * 0, x]), x[0], []
    while len(outs) < frames.size(0) - 1:
        h = self.cell(frames[len(outs)], h)
        outs += [h]
    return torch.stack(outs)


def fills_a_list_in_an_inner_loop(self: Steps, x: Tensor) -> object:
    h, outs = x[0], []
    for t in range(x.size(0)):
        for k in range(x.size(0)):
            h = self.cell(x[t] + x[k], h) * (1 + len(outs) / 10)
            outs.append(h)
    return torch.stack(outs)


def counts_in_twos(self: Steps, x: Tensor) -> object:
    t, h, outs = 0, x[0], []
    while t < x.size(0):
        h = self.cell(x[t], h)
        outs.append(h)
        t += 2
    return torch.stack(outs), h


def takes_items_from_both_ends(self: Steps, x: Tensor) -> object:
    h, outs = x[0], [x[0]]
    for step in x:
        h = self.cell(step, h)
        outs.append(h)
    last, first = outs.pop(), outs.pop(0)
    outs.append(last)
    return torch.stack(outs), first, last


KINDS = [
    takes_items_from_both_ends,
    ends_on_a_value_after_a_wider_input,
    reads_after_the_loop_what_it_broke_off_with,
    breaks_an_inner_loop_whose_state_goes_on,
    decides_by_the_length_of_a_list,
    begins_where_a_list_is_empty,
    counts_by_a_list,
    fills_a_list_in_an_inner_loop,
    counts_in_twos,
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_right_at_every_length(kind: Callable[[Steps, Tensor], object], tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(Steps(kind).eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    model = written(given, "auto", tmp_path / "model.onnx")
    assert len(model.graph.node) < 60
