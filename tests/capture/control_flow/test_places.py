"""Memories that steps write to at computed places: pointers of stacks, rings, lists of one, windows that overlap."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 2), (2, 1), (3, 3), (6, 2), (9, 1), (33, 2))


class Steps(nn.Module):
    def __init__(self, forward: Callable[[Steps, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 4)
        self.kind = forward

    def forward(self, x: Tensor) -> object:
        return self.kind(self, x)


def a_pointer_that_is_a_tensor(self: Steps, x: Tensor) -> object:
    memory, h = x.new_zeros(x.size(0) + 1, *x.shape[1:]), x[0]
    pointer = torch.zeros((), dtype=torch.long)
    for t in range(x.size(0)):
        h = self.cell(x[t], h + memory[pointer])
        pointer = pointer + (h.mean() > 0)
        memory[pointer] = h
    return memory, pointer


def a_pointer_that_a_truth_value_moves(self: Steps, x: Tensor) -> object:
    memory, h, pointer = x.new_zeros(x.size(1), x.size(0) + 1, 4), x[0], 0
    for t in range(x.size(0)):
        h = self.cell(x[t], h)
        memory[:, pointer] = h
        pointer += int(h.mean() > 0)
    return memory


def a_ring(self: Steps, x: Tensor) -> object:
    ring, h = x.new_zeros(3, *x.shape[1:]), x[0]
    pointer = torch.zeros(1, dtype=torch.long)
    for t in range(x.size(0)):
        h = self.cell(x[t], ring.mean(0))
        place = pointer[0]
        ring[place] = h
        ring[place - 1] = h * 0.5
        pointer[0] = (place + 1) % 3
    return ring, h


def a_list_of_one_place(self: Steps, x: Tensor) -> object:
    out, h = torch.zeros_like(x), x[0]
    for t in range(x.size(0)):
        h = self.cell(x[[0, t]].sum(0), h)
        out[[t]] = h[None]
    return out


def a_window_that_overlaps(self: Steps, x: Tensor) -> object:
    out, h = x.new_zeros(x.size(1), x.size(0) * 2 + 2), x[0]
    for t in range(x.size(0)):
        h = self.cell(x[t], h)
        window = out[:, t * 2 : t * 2 + 4]
        window += h
    return out


def what_a_cast_returns_as_it_is(self: Steps, x: Tensor) -> object:
    total, h = torch.zeros(4), x[0]
    for t in range(x.size(0)):
        h = self.cell(x[t], h + total.float().contiguous())
        total += h.mean(0)
    return total, h


KINDS = [
    a_pointer_that_is_a_tensor,
    a_pointer_that_a_truth_value_moves,
    a_ring,
    a_list_of_one_place,
    a_window_that_overlaps,
    what_a_cast_returns_as_it_is,
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_right_at_every_length(kind: Callable[[Steps, Tensor], object], tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(Steps(kind).eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    model = written(given, "auto", tmp_path / "model.onnx")
    assert len(model.graph.node) < 60


class OwnLoop(nn.Module):
    """The user's own `while_loop`, which counts in a tensor."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        def goes_on(i: Tensor, h: Tensor) -> Tensor:
            return i < x.size(0)

        def step(i: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            return i + 1, self.cell(x[i], h)

        return torch.while_loop(goes_on, step, (torch.tensor(0), x[0] * 0))[1]


def test_an_own_loop_reads_at_its_own_count(tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(OwnLoop().eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    written(given, "auto", tmp_path / "model.onnx")
