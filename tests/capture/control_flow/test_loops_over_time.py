"""Loops over time of every kind, as people write them: right at one step, at none, and at hundreds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 2), (2, 1), (3, 3), (4, 2), (5, 1), (8, 2), (31, 3), (104, 2), (400, 1))

Forward = Callable[["Cells", Tensor], object]
KINDS: dict[str, tuple[Forward, int]] = {}


def loop(least: int = 1) -> Callable[[Forward], Forward]:
    """A kind of loop, which needs this many steps in PyTorch too."""

    def add(forward: Forward) -> Forward:
        KINDS[forward.__name__] = (forward, least)
        return forward

    return add


class Cells(nn.Module):
    def __init__(self, forward: Forward) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 6)
        self.second = nn.GRUCell(6, 6)
        self.lstm = nn.LSTM(4, 6)
        self.rows = nn.LSTM(4, 6, batch_first=True)
        self.mix = nn.Linear(6, 4)
        self.layers = nn.ModuleList([nn.GRUCell(4, 6), nn.GRUCell(6, 6)])
        self.kind = forward

    def forward(self, x: Tensor) -> object:
        return self.kind(self, x)


def zeros(x: Tensor) -> Tensor:
    return x.new_zeros(x.size(1), 6)


@loop(2)
def from_the_second_step(self: Cells, x: Tensor) -> object:
    h = self.cell(x[0])
    outs = []
    for t in range(1, x.size(0)):
        h = self.cell(x[t] - x[t - 1], h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def maybe_no_step(self: Cells, x: Tensor) -> object:
    h = self.cell(x[0])
    outs = [h]
    for t in range(1, len(x)):
        h = self.cell(x[t], h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def every_second_step(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(0, x.size(0), 2):
        h = self.cell(x[t], h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def backwards(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(x.size(0) - 1, -1, -1):
        h = self.cell(x[t], h)
        outs.append(h)
    return torch.stack(outs[::-1]), h


@loop()
def reversed_rows(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for step in reversed(x.unbind(0)):
        h = self.cell(step, h)
        outs.insert(0, h)
    return torch.stack(outs), h


@loop()
def enumerated(self: Cells, x: Tensor) -> object:
    h, out = zeros(x), x.new_zeros(x.size(0), x.size(1), 6)
    for i, step in enumerate(x):
        h = self.cell(step, h)
        out[i] = h
    return out, h


@loop(2)
def pairs(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for before, now in zip(x[:-1], x[1:], strict=True):  # noqa: RUF007
        h = self.cell(now - before, h)
        outs += [h]
    return torch.stack(outs, dim=1), h


@loop()
def split_rows(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for part in x.split(1):
        h = self.cell(part.squeeze(0), h)
        outs.append(h.unsqueeze(0))
    return torch.cat(outs), h


@loop()
def chunked_rows(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for part in x.chunk(x.size(0), dim=0):
        h = self.cell(part.view(part.size()[1:]), h)
        outs.append(h)
    return torch.stack(outs), h


@loop(3)
def windows(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(2, x.size(0)):
        h = self.cell(x[t - 2 : t + 1].mean(0), h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def windows_that_grow(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(x.size(0)):
        h = self.cell(x[max(0, t - 2) : t + 1].mean(0), h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def lists_as_index(self: Cells, x: Tensor) -> object:
    state, outs = None, []
    for t in range(x.size(0)):
        y, state = self.lstm(x[[t]], state)
        outs.append(y)
    return torch.cat(outs), state


@loop()
def numbers_of_the_step(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(x.size(0)):
        h = self.cell(x[t] * 0.9**t + t / 10, h)
        outs.append(h * (t + 1))
    return torch.stack(outs)


@loop()
def places_of_the_step(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(x.size(0)):
        h = self.cell(x[x.size(0) - 1 - t] + x[t // 2] + x[t % 1], h)
        outs.append(h)
    return torch.stack(outs)


@loop()
def first_step_differs(self: Cells, x: Tensor) -> object:
    outs = []
    for t in range(x.size(0)):
        h = self.cell(x[t]) if t == 0 else self.cell(x[t], h)  # noqa: F821
        outs.append(h)
    return torch.stack(outs)


@loop()
def no_state_at_first(self: Cells, x: Tensor) -> object:
    h, first, outs = None, True, []
    for step in x:
        if h is None:
            h = zeros(x)
        if first:
            h, first = h + 1, False
        h = self.cell(step, h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def every_third_and_the_last(self: Cells, x: Tensor) -> object:
    h, outs, last = zeros(x), [], x.size(0) - 1
    for t in range(x.size(0)):
        if t % 3 == 2:
            h = -h
        elif t == last:
            h = h + 1
        h = self.cell(x[t], h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def one_step_of_many(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(x.size(0)):
        if t == 101:
            h = self.second(h, -h)
        h = self.cell(x[t], h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def collected_every_third(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(x.size(0)):
        h = self.cell(x[t], h)
        if t % 3 == 0:
            outs.append(h)
    return torch.stack(outs), h


@loop()
def several_a_step(self: Cells, x: Tensor) -> object:
    h, outs, both = zeros(x), [], []
    for step in x:
        h = self.cell(step, h)
        outs.append(h)
        outs.append(-h)
        both.append((h, self.mix(h)))
    return torch.stack(outs), torch.stack([a for a, _ in both]), torch.stack([b for _, b in both])


@loop()
def written_in_place(self: Cells, x: Tensor) -> object:
    h, out = zeros(x), torch.zeros(x.size(1), x.size(0), 6)
    for t in range(x.size(0)):
        h = self.cell(x[t], h)
        out[:, t] = h
    return out


@loop()
def written_backwards(self: Cells, x: Tensor) -> object:
    h, out, steps = zeros(x), torch.zeros(x.size(1), x.size(0), 6), x.size(0)
    for t in range(steps):
        h = self.cell(x[t], h)
        out[:, steps - 1 - t, :] = h
    return out


@loop()
def written_and_read(self: Cells, x: Tensor) -> object:
    out = torch.zeros(x.size(0) + 1, x.size(1), 6)
    for t in range(x.size(0)):
        out[t + 1] = self.cell(x[t], out[t])
    return out[1:]


@loop()
def in_a_list(self: Cells, x: Tensor) -> object:
    states, outs = [zeros(x), zeros(x)], []
    for step in x:
        below = step
        for i, cell in enumerate(self.layers):
            states[i] = cell(below, states[i])
            below = states[i]
        outs.append(below)
    return torch.stack(outs), states[0], states[1]


@loop()
def in_a_dict(self: Cells, x: Tensor) -> object:
    states = {"low": zeros(x), "high": zeros(x)}
    outs = []
    for step in x:
        states["low"] = self.cell(step, states["low"])
        states["high"] = self.second(states["low"], states["high"])
        outs.append(states["high"])
    return torch.stack(outs), states["low"]


@loop()
def in_a_deque(self: Cells, x: Tensor) -> object:
    recent, outs = deque([zeros(x)] * 3, maxlen=3), []
    for step in x:
        recent.append(self.cell(step, recent[0]))
        outs.append(recent[-1] + recent[1])
    return torch.stack(outs)


@loop()
def in_an_attribute(self: Cells, x: Tensor) -> object:
    self.h = zeros(x)
    outs = []
    for step in x:
        self.h = self.cell(step, self.h)
        outs.append(self.h)
    return torch.stack(outs), self.h


@loop()
def a_batch_first_layer(self: Cells, x: Tensor) -> object:
    state, outs = None, []
    for t in range(x.size(0)):
        y, state = self.rows(x[t].unsqueeze(1), state)
        outs.append(y)
    return torch.cat(outs, 1), state


@loop()
def what_was_two_steps_ago(self: Cells, x: Tensor) -> object:
    before, h, outs = zeros(x), zeros(x), []
    for step in x:
        before, h = h, self.cell(step, before + h)
        outs.append(h)
    return torch.stack(outs), before


@loop()
def masked_through_data(self: Cells, x: Tensor) -> object:
    h, total, outs = zeros(x), zeros(x), []
    for step in x:
        h = self.cell(step, h + total)
        h.data.masked_fill_(h < 0, -1.0)
        total += h
        outs.append(h)
    return torch.stack(outs), total


@loop()
def with_annotations(self: Cells, x: Tensor) -> object:
    h: Tensor = zeros(x)
    outs: list[Tensor] = []
    for t in range(x.size(0)):
        new: Tensor
        new = self.cell(x[t], h)
        h: Tensor = new + h if t > 2 else new  # type: ignore[no-redef]
        outs.append(h)
    return torch.stack(outs), h


@loop()
def the_last_output(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for step in x:
        h = self.cell(step, h)
        outs.append(self.mix(h))
    return outs[-1], outs[0]


@loop()
def summed(self: Cells, x: Tensor) -> object:
    h, total, count = zeros(x), 0, 0
    for step in x:
        h = self.cell(step, h)
        total = total + h
        count += 1
    return total / count


@loop()
def a_comprehension(self: Cells, x: Tensor) -> object:
    return torch.stack([self.cell(step) * i for i, step in enumerate(x)])


@loop()
def a_second_loop_over_the_first(self: Cells, x: Tensor) -> object:
    h, ups, outs = zeros(x), [], []
    for step in x:
        h = self.cell(step, h)
        ups.append(h)
    h = zeros(x)
    for up in reversed(ups):
        h = self.second(up, h)
        outs.append(h)
    outs.reverse()
    return torch.stack(outs)


@loop()
def both_dimensions(self: Cells, x: Tensor) -> object:
    h, outs = x.new_zeros(1, 6), []
    for t in range(x.size(0)):
        for n in range(x.size(1)):
            h = self.cell(x[t, n].unsqueeze(0), h)
        outs.append(h)
    return torch.cat(outs)


@loop()
def both_dimensions_in_place(self: Cells, x: Tensor) -> object:
    h, out = x.new_zeros(1, 6), x.new_zeros(x.size(0), x.size(1), 6)
    for t in range(x.size(0)):
        for n in range(x.size(1)):
            h = self.cell(x[t, n].unsqueeze(0), h)
            out[t, n] = h[0]
    return out


@loop()
def skips_with_continue(self: Cells, x: Tensor) -> object:
    h, outs = zeros(x), []
    for t in range(x.size(0)):
        if t % 2 == 1:
            continue
        h = self.cell(x[t], h)
        outs.append(h)
    return torch.stack(outs), h


@loop()
def stops_at_a_step(self: Cells, x: Tensor) -> object:
    h = zeros(x)
    for t in range(x.size(0)):
        if t == 7:
            break
        h = self.cell(x[t], h)
    return h


@loop()
def returns_at_a_step(self: Cells, x: Tensor) -> object:
    h = zeros(x)
    for t in range(x.size(0)):
        h = self.cell(x[t], h)
        if t == 7:
            return h
    return -h


@loop()
def a_fixed_number_of_steps(self: Cells, x: Tensor) -> object:
    h, y, outs = zeros(x), x.mean(0), []
    for _ in range(20):
        h = self.cell(y, h)
        y = self.mix(h)
        outs.append(y)
    return torch.stack(outs), h


@loop()
def transposed_state(self: Cells, x: Tensor) -> object:
    h = x.new_zeros(6, x.size(1))
    for step in x:
        h = self.cell(step, h.t()).t()
    return h


@loop()
def memory_that_grows(self: Cells, x: Tensor) -> object:
    h, memory = zeros(x), x.new_zeros(1, x.size(1), 6)
    for step in x:
        h = self.cell(step, h + memory.softmax(0).mean(0))
        memory = torch.cat([memory, h.unsqueeze(0)])
    return h, memory


@loop()
def attention_over_what_was(self: Cells, x: Tensor) -> object:
    h, memory = zeros(x), []
    for step in x:
        h = self.cell(step, h)
        memory.append(h)
        keys = torch.stack(memory, 1)
        weights = (keys * h.unsqueeze(1)).sum(-1).softmax(-1)
        h = (weights.unsqueeze(-1) * keys).sum(1) / len(memory)
    return h, torch.stack(memory)


@loop()
def the_mean_of_what_was(self: Cells, x: Tensor) -> object:
    h, memory, outs = zeros(x), [x[0] * 0], []
    for step in x:
        h = self.cell(step + sum(memory) / len(memory), h)
        memory.append(self.mix(h))
        outs.append(h)
    return torch.stack(outs), memory[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_right_at_every_length(kind: str, tmp_path: Path) -> None:
    forward, least = KINDS[kind]
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES if t >= least]
    given = translated(Cells(forward).eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    model = written(given, "auto", tmp_path / "model.onnx")
    assert any(node.op_type in ("Scan", "Loop", "If") for node in model.graph.node)
    assert len(model.graph.node) < 150
