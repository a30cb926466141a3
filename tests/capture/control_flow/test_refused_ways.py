"""A way that cannot be gone is not taken, however deep in the model it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rnn_export import CaptureError, Signature, export_onnx
from torch import Tensor, nn

SIGNATURE = Signature({"x": "float32[N, T, 3]"})


class Limited(nn.Module):
    """Raises beyond so many steps, within two modules."""

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) > 100:
            raise ValueError("too long")
        return torch.tanh(x)


class Holding(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


class ByLength(nn.Module):
    """Long sequences go through a layer that refuses them, or that adds what does not fit."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.cell = layer, nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) > 150:
            x = self.layer(x)
        h, outs = x.new_zeros(x.size(0), 4), []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            outs.append(h)
        return torch.stack(outs, 1)


class Misfit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.zeros(x.size(0), 1, 5)


@pytest.mark.parametrize("layer", [Limited(), Misfit()])
def test_a_way_that_raises_within_modules_is_not_taken(layer: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ByLength(Holding(Holding(layer))).eval()
    export_onnx(model, SIGNATURE, tmp_path / "bundle", seed=0)


class OnlyStep(nn.Module):
    """One step is squeezed, which no other length can be."""

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) > 1:
            h = x[:, 0]
            for t in range(1, x.size(1)):
                h = torch.tanh(h + x[:, t])
            return h
        return 2 * x.squeeze(1)


def test_a_size_that_a_decision_says_is_one_is_squeezed(tmp_path: Path) -> None:
    export_onnx(OnlyStep(), SIGNATURE, tmp_path / "bundle", seed=0)


class OddEven(nn.Module):
    """A scan that calls itself on every second element."""

    def scan(self, b: Tensor) -> Tensor:
        if b.size(1) < 2:
            return b
        odd = self.scan(b[:, 0:-1:2] + b[:, 1::2])
        even = odd[:, :-1] + b[:, 2::2] if b.size(1) % 2 == 0 else odd + b[:, 2::2]
        even = torch.cat([b[:, :1], even], 1)
        return torch.stack([even[:, : odd.size(1)], odd], 2).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.scan(x)


def test_a_function_that_calls_itself_as_often_as_a_size_says_is_refused_with_its_line() -> None:
    with pytest.raises(CaptureError, match=r"test_refused_ways.py:\d+ .* a function calls itself as often as a size"):
        export_onnx(OddEven(), SIGNATURE, "nowhere", seed=0)
