"""Functions that a capture calls in place of PyTorch's take the names of its arguments; a table is read to its end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 1), (2, 2), (1, 7), (3, 5), (2, 12))


class Steps(nn.Module):
    """A loop, so that it is captured as one: each step is given its row with the others before it."""

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = x.new_zeros(x.size(0), 4), []
        for row in self.rows(x):
            h = torch.tanh(h + row)
            outputs.append(h)
        return torch.stack(tensors=outputs, dim=1)

    def rows(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.unbind(input=x, dim=1)


class SplitByFunction(Steps):
    def rows(self, x: Tensor) -> tuple[Tensor, ...]:
        x, gate = torch.split(x, split_size_or_sections=[4, 4], dim=-1)
        return torch.unbind(input=x * gate.sigmoid(), dim=1)


class SplitByMethod(Steps):
    def rows(self, x: Tensor) -> tuple[Tensor, ...]:
        x, gate = x.split(split_size=4, dim=-1)
        return tuple(torch.squeeze(input=row, dim=1) for row in (x + gate).split(split_size=1, dim=1))


class Chunked(Steps):
    def rows(self, x: Tensor) -> tuple[Tensor, ...]:
        x, gate = torch.chunk(input=x, chunks=2, dim=-1)
        return torch.cat(tensors=[x, gate], axis=1).unbind(dim=1)


class Table(nn.Module):
    """As long as its table, it reads the table; shorter, it makes one; longer, it cannot run."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tril(torch.ones(12, 12, dtype=torch.bool)))

    def forward(self, x: Tensor) -> Tensor:
        size = x.size(1)
        x, gate = torch.split(x, split_size_or_sections=4, dim=-1)
        if self.mask is None or size < self.mask.size(-1):
            mask = torch.tril(torch.ones((size, size), dtype=torch.bool))
        else:
            mask = self.mask
        return torch.where(mask, x @ gate.mT, 0.0) @ x


@pytest.mark.parametrize("model", [SplitByFunction, SplitByMethod, Chunked, Table])
def test_arguments_by_name(model: type[nn.Module], tmp_path: Path) -> None:
    cases = [Case({"N": n, "T": t}, "ordinary", 1) for n, t in SIZES]
    signature = Signature({"x": "float32[N, T, 8]"})
    written(translated(model().eval(), signature, cases), "auto", tmp_path / "model.onnx")
