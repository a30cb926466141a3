"""Functions with a backward pass of their own: what their `forward` loops over and decides is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn

SIZES = ((1, 1), (2, 2), (1, 7), (3, 5), (2, 16), (1, 33))


class Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor) -> Tensor:
        h, outputs = torch.zeros_like(x[:, 0]), []
        for t in range(x.size(1)):
            h = a[:, t] * h + x[:, t]
            outputs.append(h)
        ctx.mark_non_differentiable(a)
        ctx.save_for_backward(a, x)
        ctx.steps = x.size(1)
        return torch.stack(outputs, 1)


class Separate(torch.autograd.Function):
    """Its context is set up afterwards; it decides by a size."""

    @staticmethod
    def forward(a: Tensor, x: Tensor) -> Tensor:
        return torch.cumsum(x, 1) * a if x.size(1) % 2 else x - a

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)


recurrence = Recurrence.apply


class Loops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return recurrence(torch.sigmoid(x), x) + Recurrence.apply(torch.tanh(x), x)


class Decides(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Separate.apply(torch.sigmoid(x), x)


@pytest.mark.parametrize("model", [Loops, Decides])
def test_what_forward_does_is_seen(model: type[nn.Module], tmp_path: Path) -> None:
    cases = [Case({"N": n, "T": t}, "ordinary", 1) for n, t in SIZES]
    signature = Signature({"x": "float32[N, T, 3]"})
    written(translated(model().eval(), signature, cases), "auto", tmp_path / "model.onnx")
