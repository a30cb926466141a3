"""Operators on mixed dtypes come out as PyTorch promotes them: masks, flags, sizes, and numbers computed of sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rnn_export import Signature, export_onnx
from torch import Tensor, nn

INPUTS = {"x": "float32[T, N, 4]", "m": "int64[T, N] in 0..3", "flag": "bool[T, N]"}


class Masked(nn.Module):
    """What models do with masks of integers and flags."""

    def forward(self, x: Tensor, m: Tensor, flag: Tensor) -> tuple[Tensor, ...]:
        wide = m[..., None]
        return (
            x * (1.0 - wide),
            x * wide + (1 - m)[..., None],
            torch.stack([m, m > 1, x[..., 0]]),
            torch.cat([m, flag]),
            torch.where(m > 1, x[..., 0], m),
            torch.where(m > 1, 1.0, 0.0),
            torch.where(flag, m, 0.5),
            m // 1.5,
            (m - 2) // (m + 1),
            wide == x,
            torch.maximum(x, wide),
            m.float().lerp(x[..., 0], 0.3),
            0.9**m,
        )


class Flags(nn.Module):
    """Arithmetic of bool tensors is logic, unless a number takes part."""

    def forward(self, x: Tensor, m: Tensor, flag: Tensor) -> tuple[Tensor, ...]:
        other = m > 1
        return (
            *(flag + other, flag * other, torch.maximum(flag, other), torch.minimum(flag, other)),
            *(flag + 1, flag * 0.5, flag.sum(0), flag / 2, x * flag[..., None]),
        )


class Sizes(nn.Module):
    """Numbers that depend on a size, as the other argument."""

    def forward(self, x: Tensor, m: Tensor, flag: Tensor) -> tuple[Tensor, ...]:
        steps = x.size(0)
        return (
            *(m % steps, torch.arange(10) % steps, (m * 3) // steps, m / steps, steps - m, steps / (x.abs() + 1)),
            *(x.abs().clamp(max=1) ** steps, m.clamp(0, steps - 1), x.clamp(max=steps / 4), m > steps / 2),
            *(torch.full((2,), steps / 2), m.masked_fill(m > 1, steps), torch.where(x > 1, steps, x)),
            *(torch.arange(0, 6.0) * x.mean(), torch.arange(0, steps, 0.5), torch.arange(1, steps + 2.0)),
        )


class Loop(nn.Module):
    """A mask of integers in every step."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x: Tensor, m: Tensor, flag: Tensor) -> tuple[Tensor, ...]:
        h, outputs = x.new_zeros(x.size(1), 5), []
        for e, d, stop in zip(x, m, flag, strict=True):
            h = self.cell(e, (1.0 - d)[:, None] * h + stop[:, None])
            outputs.append(h)
        return (torch.stack(outputs),)


@pytest.mark.parametrize("kind", [Masked, Flags, Sizes, Loop])
def test_mixed_dtypes(kind: type[nn.Module], tmp_path: Path) -> None:
    model = kind().eval()
    export_onnx(model, Signature(INPUTS), tmp_path / "b")
    session = onnxruntime.InferenceSession(tmp_path / "b" / "model.onnx")
    for steps in (1, 4, 400):
        generator = torch.Generator().manual_seed(steps)
        inputs = {
            "x": torch.randn(steps, 2, 4, generator=generator),
            "m": torch.randint(0, 4, (steps, 2), generator=generator),
            "flag": torch.rand(steps, 2, generator=generator) < 0.5,
        }
        given = {each.name: inputs[each.name].numpy() for each in session.get_inputs()}
        with torch.no_grad():
            expected = model(**inputs)
        for result, tensor in zip(session.run(None, given), expected, strict=True):
            assert result.dtype == tensor.numpy().dtype
            np.testing.assert_allclose(result, tensor.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats(dtype: str, tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def forward(self, x: Tensor, m: Tensor) -> Tensor:
            return (x * (1.0 - m)[..., None]) / 3 - 0.1 * m[..., None]

    signature = Signature({"x": f"{dtype}[T, N, 4]", "m": "int64[T, N] in 0..1"})
    export_onnx(Mixed(), signature, tmp_path / "b")
