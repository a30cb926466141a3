"""Small models with matrix-valued states, written as their papers and reference codes have them, to be exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn import functional as F

# Steps of a chunk.
CHUNK = 4
# One step, less than a chunk, one, several, and several with a remainder.
SIZES = ((1, 2), (3, 1), (4, 2), (5, 2), (8, 1), (17, 1), (32, 2), (103, 2))


class Given(NamedTuple):
    """What a layer computes from its input: [N, heads, T, ...]; `decay` is the log of what a step keeps."""

    q: Tensor
    k: Tensor
    v: Tensor
    decay: Tensor
    beta: Tensor
    gates: Tensor


class Heads(nn.Module):
    """Two heads of a layer, of which `form` says how it goes through time: x [N, T, 4] to y [N, heads, T, 2]."""

    def __init__(self, form: Callable[[Given], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.ModuleList([nn.Linear(4, 2 * width) for width in (3, 3, 2, 1, 1, 3)])
        self.form = form

    def forward(self, x: Tensor) -> Any:
        q, k, v, decay, beta, gates = (self.split(project(x)) for project in self.project)
        k = F.normalize(k, dim=-1)
        decay, beta = F.logsigmoid(decay).squeeze(-1), torch.sigmoid(beta).squeeze(-1)
        return self.form(Given(q, k, v, decay, beta, F.logsigmoid(gates)))

    def split(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), x.size(1), 2, -1).transpose(1, 2)


def first(result: Any) -> Tensor:
    """What a layer puts out, without its states."""
    y: Tensor = result[0] if isinstance(result, tuple) else result
    return y


def exported(model: nn.Module, folder: Path, width: int = 4) -> onnx.ModelProto:
    """The model file of a layer of x [N, T, width], which is right at every size."""
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    given = translated(model.eval(), Signature({"x": f"float32[N, T, {width}]"}), cases)
    return written(given, "auto", folder / "model.onnx")


def agree(one: nn.Module, other: nn.Module, width: int = 4) -> None:
    """Two forms of one layer compute the same, at a length that is no multiple of a chunk."""
    x = torch.randn(2, 11, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(first(one(x)), first(other(x)), rtol=1e-4, atol=1e-5)


def padded(given: Given) -> Given:
    """The same with T a multiple of a chunk, as chunks have it: what is beyond leaves the state as it is."""
    pad = (CHUNK - given.q.size(2) % CHUNK) % CHUNK
    q, k, v, gates = (F.pad(x, (0, 0, 0, pad)) for x in (given.q, given.k, given.v, given.gates))
    decay, beta = (F.pad(x, (0, pad)) for x in (given.decay, given.beta))
    return Given(q, k, v, decay, beta, gates)


def chunked(x: Tensor) -> Tensor:
    """[N, heads, chunks, CHUNK, ...] of [N, heads, T, ...]."""
    return x.reshape(x.shape[0], x.shape[1], -1, CHUNK, *x.shape[3:])
