"""Loops whose first step differs from the others, and which may have none: right at every length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

# With no step, one, two and many, whichever part of T a loop runs over.
SIZES = ((1, 1), (1, 3), (2, 2), (3, 1), (4, 3), (5, 1), (8, 2), (12, 1), (101, 2))


class Cells(nn.Module):
    def __init__(self, forward: Callable[[Cells, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 6)
        self.lstm = nn.LSTMCell(4, 6)
        self.mix = nn.Linear(4, 6)
        self.kind = forward

    def forward(self, x: Tensor) -> object:
        return self.kind(self, x)


def from_the_second(self: Cells, x: Tensor) -> object:
    h, outs = None, [self.mix(x[0])]
    for t in range(1, x.size(0)):
        h = self.cell(x[t], h)
        outs.append(h)
    return torch.stack(outs)


def nothing_but_the_state(self: Cells, x: Tensor) -> object:
    h = None
    for t in range(1, x.size(0)):
        h = self.cell(x[t], h)
    if h is None:
        h = self.mix(x[0])
    return h


def given_where_there_was_no_step(self: Cells, x: Tensor) -> object:
    state = None
    for step in x[1:]:
        state = self.lstm(step, state)
    return self.mix(x[0]) if state is None else state[0] + state[1]


def without_the_last_two(self: Cells, x: Tensor) -> object:
    h, outs = None, [self.mix(x[0])]
    for t in range(0, x.size(0) - 2):
        h = self.cell(x[t] + x[t + 2], h)
        outs.append(h)
    return torch.stack(outs)


def one_in_four(self: Cells, x: Tensor) -> object:
    h, outs = None, [self.mix(x.mean(0))]
    for t in range(x.size(0) // 4):
        h = self.cell(x[4 * t : 4 * t + 4].mean(0), h)
        outs.append(h)
    return torch.stack(outs)


def written_in_place(self: Cells, x: Tensor) -> object:
    h, out = None, x.new_zeros(x.size(0), x.size(1), 6)
    for t in range(x.size(0) // 4):
        h = self.cell(x[4 * t], h)
        out[t] = h
    return out


def put_in_front(self: Cells, x: Tensor) -> object:
    h, outs = None, [self.mix(x[-1])]
    for t in range(x.size(0) - 1):
        h = self.cell(x[t], h)
        outs.insert(0, h)
    return torch.stack(outs)


def two_lists(self: Cells, x: Tensor) -> object:
    h, states, means = None, [self.mix(x[0])], [x[0]]
    for t in range(1, x.size(0)):
        h = self.cell(x[t], h)
        states += [h, h * 2]
        means.append(x[t] - x[t - 1])
    return torch.stack(states), torch.stack(means, 1)


def two_first_steps(self: Cells, x: Tensor) -> object:
    h = before = None
    outs = [self.mix(x[0])]
    for t in range(1, x.size(0)):
        now = self.cell(x[t], h)
        if before is not None:
            now = now + before
        before, h = h, now
        outs.append(h)
    return torch.stack(outs)


def the_last_item_where_there_is_one(self: Cells, x: Tensor) -> object:
    outs: list[Tensor] = []
    for t in range(x.size(0) - 1):
        outs.append(self.cell(x[t], outs[-1] if outs else None))
    outs.append(self.mix(x[-1]))
    return torch.stack(outs)


KINDS = [
    from_the_second,
    nothing_but_the_state,
    given_where_there_was_no_step,
    without_the_last_two,
    one_in_four,
    written_in_place,
    put_in_front,
    two_lists,
    two_first_steps,
    the_last_item_where_there_is_one,
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_right_at_every_length(kind: Callable[[Cells, Tensor], object], tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(Cells(kind).eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    model = written(given, "auto", tmp_path / "model.onnx")
    assert any(node.op_type == "If" for node in model.graph.node)
