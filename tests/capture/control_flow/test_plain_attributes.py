"""A state that is a tensor among a module's attributes, and no buffer: loops over it and nested in one another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 2), (2, 1), (5, 3), (41, 2))


class OneByOne(nn.Module):
    """Each sequence of a batch in turn; the state begins anew after each."""

    def __init__(self, dtype: torch.dtype = torch.float32, size: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.decay = nn.Parameter(torch.rand(size).to(dtype))
        self.b = nn.Parameter(torch.randn(size, 3).to(dtype))
        self.state = torch.zeros(size, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        self.state = self.state.to(self.b.device)
        out = torch.empty(x.size(0), x.size(1), self.b.size(0))
        for i, sequence in enumerate(x):
            rows = torch.empty(x.size(1), self.b.size(0))
            for t, step in enumerate(sequence):
                self.state = self.decay * self.state + self.b @ step.to(self.b.dtype)
                rows[t] = self.state.real
            self.state = torch.zeros_like(self.state)
            out[i] = rows
        return out


@pytest.mark.parametrize("model", [OneByOne(), OneByOne(torch.complex64), OneByOne(size=1)])
def test_is_right_at_every_size(model: nn.Module, tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(model.eval(), Signature({"x": "float32[N, T, 3]"}), cases)
    written(given, "auto", tmp_path / "model.onnx")
