"""Decisions by buffers, and steps that write to them or put others in their place: right at every length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 1), (1, 3), (2, 2), (3, 1), (6, 4), (40, 2))


class Buffers(nn.Module):
    def __init__(self, forward: Callable[[Buffers, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 6)
        self.register_buffer("inputs", torch.Tensor([4]))
        self.register_buffer("units", torch.Tensor([6]))
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("last", torch.zeros(6))
        self.kind = forward

    def forward(self, x: Tensor) -> object:
        return self.kind(self, x)


def zeros(x: Tensor) -> Tensor:
    return x.new_zeros(x.size(1), 6)


def a_way_that_only_other_sizes_could_take(self: Buffers, x: Tensor) -> object:
    h = zeros(x)
    for step in x:
        h = self.cell(step, h)
        if self.inputs == self.units:
            h = h + step
    return h


def sizes_in_buffers(self: Buffers, x: Tensor) -> object:
    h = x.new_zeros(x.size(1), int(self.units))
    for step in x:
        h = self.cell(step, h) if self.inputs < self.units else step
    return h


def true_after_the_first_step(self: Buffers, x: Tensor) -> object:
    h = zeros(x)
    for step in x:
        h = self.cell(step, h)
        if self.started:
            h = h * 0.5
        self.started.fill_(True)
    return h


def steps_are_counted(self: Buffers, x: Tensor) -> object:
    h = zeros(x)
    for step in x:
        h = self.cell(step, h)
        self.calls += 1
        if self.calls > self.inputs:
            h = h * 0.5
    return h, self.calls


def written_to_through_a_view(self: Buffers, x: Tensor) -> object:
    self.calls[0].add_(3)
    return x + 1 if self.calls > 1 else x - 1


def seen_through_a_view(self: Buffers, x: Tensor) -> object:
    calls = self.calls[0]
    self.calls.add_(3)
    return x + 1 if calls > 1 else x - 1


def another_shape_in_every_step(self: Buffers, x: Tensor) -> object:
    h, outs = zeros(x), []
    for step in x:
        h = self.cell(step, h)
        self.last = h * 2
        outs.append(h + self.last)
    return torch.stack(outs), self.last


def the_state_itself(self: Buffers, x: Tensor) -> object:
    outs = []
    for step in x:
        self.last = self.cell(step, self.last.expand(x.size(1), 6))
        outs.append(self.last)
    return torch.stack(outs)


def another_shape_without_a_loop(self: Buffers, x: Tensor) -> object:
    self.last = x[-1].sum(-1)
    return x + self.last[None, :, None]


LOOPS = [
    a_way_that_only_other_sizes_could_take,
    sizes_in_buffers,
    true_after_the_first_step,
    steps_are_counted,
    another_shape_in_every_step,
    the_state_itself,
]
OTHERS = [written_to_through_a_view, seen_through_a_view, another_shape_without_a_loop]


@pytest.mark.parametrize("kind", [*LOOPS, *OTHERS])
def test_each_is_right_at_every_length(kind: Callable[[Buffers, Tensor], object], tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(Buffers(kind).eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    model = written(given, "auto", tmp_path / "model.onnx")
    assert any(node.op_type == "Scan" for node in model.graph.node) == (kind in LOOPS)
