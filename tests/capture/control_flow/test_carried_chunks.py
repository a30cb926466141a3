"""Long inputs in chunks, with a state that goes on from one to the next, however the length is padded to a multiple."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import CaptureError, Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn import functional

SIZES = ((1, 2), (2, 1), (3, 2), (4, 1), (5, 2), (8, 1), (9, 3), (103, 1))


class Chunks(nn.Module):
    def __init__(self, padded: Callable[[Tensor], Tensor], chunks: Callable[[Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.GRU(4, 5)
        self.padded, self.chunks = padded, chunks

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        outs, h = [], x.new_zeros(1, x.size(1), 5)
        whole = self.padded(x)
        for chunk in self.chunks(whole):  # type: ignore[attr-defined]
            y, h = self.rnn(chunk, h)
            outs.append(y)
        return torch.cat(outs)[: x.size(0)], h


class Windows(Chunks):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        outs, h = [], None
        whole = self.padded(x)
        for start in range(0, whole.size(0), 4):
            y, h = self.rnn(whole[start : start + 4], h)
            outs.append(y)
        return torch.cat(outs)[: x.size(0)], h


def by_a_negative_size(x: Tensor) -> Tensor:
    return functional.pad(x, (0, 0, 0, 0, 0, -x.size(0) % 4))


def by_two_remainders(x: Tensor) -> Tensor:
    return functional.pad(x, (0, 0, 0, 0, 0, (4 - x.size(0) % 4) % 4))


def by_a_negative_quotient(x: Tensor) -> Tensor:
    return functional.pad(x, (0, 0, 0, 0, 0, -(-x.size(0) // 4) * 4 - x.size(0)))


def by_a_ceiling(x: Tensor) -> Tensor:
    return functional.pad(x, (0, 0, 0, 0, 0, math.ceil(x.size(0) / 4) * 4 - x.size(0)))


def if_needed(x: Tensor) -> Tensor:
    if x.size(0) % 4 != 0:
        x = torch.cat([x, x.new_zeros(4 - x.size(0) % 4, x.size(1), 4)])
    return x


PADDINGS = [by_a_negative_size, by_two_remainders, by_a_negative_quotient, by_a_ceiling, if_needed]


def in_fours(x: Tensor) -> object:
    return x.split(4)


@pytest.mark.parametrize("padded", PADDINGS)
@pytest.mark.parametrize("kind", [Chunks, Windows])
def test_chunks_are_right_at_every_length(
    kind: type[Chunks], padded: Callable[[Tensor], Tensor], tmp_path: Path
) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(kind(padded, in_fours).eval(), Signature({"x": "float32[T, N, 4]"}), cases)
    model = written(given, "auto", tmp_path / "model.onnx")
    assert len(model.graph.node) < 60


def test_chunks_of_which_the_last_is_shorter_are_refused() -> None:
    with pytest.raises(CaptureError, match="the last may be shorter, if it is not padded to a multiple"):
        translated(Chunks(lambda x: x, in_fours).eval(), Signature({"x": "float32[T, N, 4]"}), [])
