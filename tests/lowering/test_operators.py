"""Operators that PyTorch's exporter lacks or gets wrong, with NaN, infinities and ties, at sizes from 1 to 400."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn

BORDERS = torch.tensor([-1.0, 0.0, 1.0])


def written(x: Tensor) -> Tensor:
    y = x.clone()
    y[0] = y[0, 0]
    y[:, 0] = torch.tensor(2.0)
    return y


FUNCTIONS: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "angles": lambda x: (torch.atan2(x, x.flip(0)), torch.atan2(x * 0, -x), torch.atan2(-x * 0, x)),
    "lengths": lambda x: (torch.hypot(x, x.flip(0)), torch.cdist(x, x), torch.cdist(x, x[:, :1], p=1.0)),
    "signs": lambda x: (torch.sign(x), torch.sgn(x)),
    "written": lambda x: (written(x),),
    "quotients": lambda x: (x // 0.7, x // (x.flip(0).abs() + 0.5), torch.div(x, 0.3, rounding_mode="trunc")),
    "medians": lambda x: (x.median(0)[0], x.median(), x.nanmedian(0)[0], x.kthvalue(2, -1, keepdim=True)[0]),
    "products": lambda x: (x.tanh().cumprod(0), (x > 0).cumprod(0), (1 - x.sigmoid()).cumprod(-1)),
    "extremes": lambda x: (*torch.cummax(x, 0), torch.cummin(x, 1)[0], torch.cummax((x * 3).clamp(-9, 9).long(), 0)[0]),
    "places": lambda x: (torch.searchsorted(BORDERS, x), torch.searchsorted(BORDERS, x, right=True)),
    "spread": lambda x: (torch.linspace(0.3, 7, x.size(0)), torch.linspace(-1, 1, x.size(0) + 1)),
    "taken": lambda x: (x.take_along_dim(x.argsort(0), 0), torch.take_along_dim(x, x.argmax(-1, keepdim=True), -1)),
    "all": lambda x: (x - x.amax(), x.amin(), x.amax((), keepdim=True), x.amin((0, -1)), (3 * x).long().amax()),
    "selected": lambda x: (x.masked_select(x[..., :1] > 0),),
}


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_pytorch(name: str, tmp_path: Path) -> None:
    model = Function(FUNCTIONS[name])
    export_onnx(model, Signature({"x": "float32[T, N, 4]"}), tmp_path / "b")
    session = onnxruntime.InferenceSession(tmp_path / "b" / "model.onnx")
    for steps in (1, 2, 4, 400):
        x = torch.randn(steps, 2, 4, generator=torch.Generator().manual_seed(steps))
        # Whole numbers show quotients that are nearly whole, and equal values.
        for values in (x, (7 * x).round()):
            for result, tensor in zip(session.run(None, {"x": values.numpy()}), model(values), strict=True):
                np.testing.assert_allclose(result, tensor.numpy(), rtol=1e-4, atol=1e-5)


def test_of_whole_numbers(tmp_path: Path) -> None:
    class Whole(nn.Module):
        def forward(self, m: Tensor) -> tuple[Tensor, ...]:
            return (m - 5) // (m + 1), m.median(0)[0], m.cumprod(0), *torch.cummin(m, 0), torch.unique(m)

    export_onnx(Whole(), Signature({"m": "int64[T, N] in 0..3"}), tmp_path / "b")
