"""Time single steps of a Mamba block: the exported stream against a step written by hand in PyTorch, one thread each.

    python -m benchmarks.mamba_step 64 128 256

The hand-written step keeps the convolution's last inputs and the state, as the authors' `step` does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rnn_export import Stream, export_onnx
from torch import Tensor, nn
from torch.nn import functional as F

from .records import MambaStep

_STEPS = 2000
_WARM_UP = 200
_ROUNDS = 5


class Mamba(nn.Module):
    """A selective state space block (Gu and Dao 2023), with its loop over time in Python."""

    def __init__(self, size: int, states: int = 16, kernel: int = 4) -> None:
        super().__init__()
        self.inner, self.states, self.rank = 2 * size, states, max(1, size // 16)
        self.into = nn.Linear(size, 2 * self.inner, bias=False)
        self.conv = nn.Conv1d(self.inner, self.inner, kernel, groups=self.inner, padding=kernel - 1)
        self.select = nn.Linear(self.inner, self.rank + 2 * states, bias=False)
        self.delta = nn.Linear(self.rank, self.inner)
        self.log = nn.Parameter(torch.log(torch.arange(1.0, states + 1).repeat(self.inner, 1)))
        self.skip = nn.Parameter(torch.ones(self.inner))
        self.out = nn.Linear(self.inner, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        T = x.size(1)
        x, gate = self.into(x).chunk(2, -1)
        x = F.silu(self.conv(x.transpose(1, 2))[..., :T]).transpose(1, 2)
        delta, into, out = self._selected(x)
        h = x.new_zeros(x.size(0), self.inner, self.states)
        outputs = []
        for t in range(T):
            h = self._next(h, x[:, t], delta[:, t], into[:, t])
            outputs.append((h * out[:, t].unsqueeze(1)).sum(-1))
        y: Tensor = self.out((torch.stack(outputs, 1) + x * self.skip) * F.silu(gate))
        return y

    def step(self, x: Tensor, past: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step: x [N, size], the last inputs of the convolution [N, inner, kernel], and the state."""
        x, gate = self.into(x).chunk(2, -1)
        past = torch.cat([past[..., 1:], x.unsqueeze(-1)], -1)
        assert self.conv.bias is not None
        x = F.silu((past * self.conv.weight.squeeze(1)).sum(-1) + self.conv.bias)
        delta, into, out = self._selected(x)
        h = self._next(h, x, delta, into)
        y = (h * out.unsqueeze(1)).sum(-1) + x * self.skip
        return self.out(y * F.silu(gate)), past, h

    def _selected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        delta, into, out = self.select(x).split([self.rank, self.states, self.states], -1)
        return F.softplus(self.delta(delta)), into, out

    def _next(self, h: Tensor, x: Tensor, delta: Tensor, into: Tensor) -> Tensor:
        decay = torch.exp(-delta.unsqueeze(-1) * torch.exp(self.log))
        return decay * h + (delta * x).unsqueeze(-1) * into.unsqueeze(1)


def _median(step: Callable[[], object]) -> float:
    """Microseconds."""
    times = []
    for k in range(-_WARM_UP, _STEPS):
        begin = time.perf_counter_ns()
        step()
        if k >= 0:
            times.append(time.perf_counter_ns() - begin)
    return float(np.median(times)) / 1e3


def compare(size: int) -> MambaStep:
    """Microseconds of a step in eager PyTorch and in the stream, which take turns; the fastest round of each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Mamba(size).eval()
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, {"x": f"float32[N, T, {size}]"}, Path(folder) / "out", stateful=True)
        stream = Stream(Path(folder) / "out")
    x = torch.randn(1, size)
    array = x.numpy()
    past, h = torch.zeros(1, model.inner, 4), torch.zeros(1, model.inner, model.states)
    with torch.inference_mode():
        rounds = [
            (_median(lambda: model.step(x, past, h)), _median(lambda: stream.step(array))) for _ in range(_ROUNDS)
        ]
    eager, ours = zip(*rounds, strict=True)
    return MambaStep(size, min(eager), min(ours))


if __name__ == "__main__":
    for given in map(int, sys.argv[1:] or ["64", "128", "256"]):
        found = compare(given)
        times = found.eager / found.stream
        print(f"Mamba d_model {given}: eager {found.eager:.0f} us, stream {found.stream:.0f} us, {times:.1f} times")
