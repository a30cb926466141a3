"""Steps that write a block of a tensor each, one after the other, as the chunks of a recurrence do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn import functional as F

SIZES = ((1, 2), (2, 1), (3, 3), (4, 2), (5, 1), (8, 2), (13, 1), (103, 2))


class Chunks(nn.Module):
    """Steps of four, padded to a multiple."""

    def forward(self, x: Tensor) -> Tensor:
        n = (x.size(1) + 3) // 4
        padded = F.pad(x, (0, 0, 0, 4 * n - x.size(1)))
        out, h = torch.zeros_like(padded), x.new_zeros(x.size(0), 3)
        for k in range(n):
            chunk = padded[:, 4 * k : 4 * (k + 1)]
            out[:, 4 * k : 4 * (k + 1)] = chunk.cumsum(1) + h.unsqueeze(1)
            h = torch.tanh(h + chunk.sum(1))
        return out[:, : x.size(1)]


class States(nn.Module):
    """Every state beside the one before, and the last one after the loop; a block is in the middle of the shape."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        wide = x.new_zeros(x.size(0), 3 * (x.size(1) + 1), 2)
        flat, h = wide[..., 0].clone(), x.new_zeros(x.size(0), 3)
        for k in range(x.size(1)):
            wide[:, 3 * k : 3 * k + 3, :] = h.unsqueeze(-1)
            flat[..., k * 3 : (k + 1) * 3] = 2 * h
            h = torch.tanh(h + x[:, k])
        wide[:, -3:, :] = h.unsqueeze(-1)
        flat[:, -3:] = h
        return wide, flat


class Later(nn.Module):
    """From the third place on, of a dimension that comes first; one number fills a block."""

    def forward(self, x: Tensor) -> Tensor:
        out, h = x.new_zeros(2 * x.size(1) + 2, x.size(0), 3), x.new_zeros(x.size(0), 3)
        for k in range(x.size(1)):
            h = torch.tanh(h + x[:, k])
            out[2 + 2 * k : 4 + 2 * k] = h
        return out


class Overlapping(nn.Module):
    """Each block covers half of the one before."""

    def forward(self, x: Tensor) -> Tensor:
        out, h = x.new_zeros(x.size(0), 2 * x.size(1) + 2, 3), x.new_zeros(x.size(0), 3)
        for k in range(x.size(1)):
            h = torch.tanh(h + x[:, k])
            out[:, 2 * k : 2 * k + 4] = h.unsqueeze(1)
        return out


class Shorter(nn.Module):
    """The last block is as long as what is left; two steps ahead there may be nothing left."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        out, scaled, ahead = torch.zeros_like(x), x.clone(), torch.zeros_like(x)
        h = x.new_zeros(x.size(0), 3)
        for start in range(0, x.size(1), 4):
            chunk = x[:, start : start + 4]
            out[:, start : start + 4] = chunk.cumsum(1) + h.unsqueeze(1)
            scaled[:, start : start + 4] *= 2
            ahead[:, start + 2 : start + 6] = 3 * x[:, start + 2 : start + 6]
            h = torch.tanh(h + chunk.sum(1))
        return out, scaled, ahead


@pytest.mark.parametrize("model", [Shorter(), Chunks(), States(), Later(), Overlapping()])
def test_every_block_is_where_its_step_wrote_it(model: nn.Module, tmp_path: Path) -> None:
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(model.eval(), Signature({"x": "float32[N, T, 3]"}), cases)
    written(given, "auto", tmp_path / "model.onnx")
