"""Recurrences step by step that name their own ways through time: RWKV-4 to RWKV-7, HGRN, sLSTM, S4D, LRU and S5."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matrix_memory import Given, Heads, agree, exported
from torch import Tensor, nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch.nn import functional as F


def rwkv4(given: Given) -> Any:
    """Of each channel a quotient of sums, with the largest exponent so far as a state."""
    k, v = given.k[..., :2], given.v
    first, decay = k.new_tensor([0.3, -0.2]), -torch.exp(k.new_tensor([-1.0, 0.5]))
    above, below = torch.zeros_like(k[:, :, 0]), torch.zeros_like(k[:, :, 0])
    largest, out = torch.zeros_like(k[:, :, 0]) - 1e38, torch.zeros_like(v)
    for t in range(k.size(2)):
        key, value = k[:, :, t], v[:, :, t]
        top = torch.maximum(largest, key + first)
        old, new = torch.exp(largest - top), torch.exp(key + first - top)
        out[:, :, t] = (old * above + new * value) / (old * below + new)
        top = torch.maximum(largest + decay, key)
        old, new = torch.exp(largest + decay - top), torch.exp(key - top)
        above, below, largest = old * above + new * value, old * below + new, top
    return out, (above, below, largest)


def rwkv5(given: Given) -> Any:
    decay, bonus = torch.tensor([0.9, 0.5, 0.7]).view(3, 1), torch.tensor([0.1, -0.4, 0.2]).view(3, 1)
    state, outs = torch.zeros(given.q.size(0), 2, 3, 2), []
    for t in range(given.q.size(2)):
        new = given.k[:, :, t : t + 1].mT @ given.v[:, :, t : t + 1]
        outs.append(given.q[:, :, t : t + 1] @ (bonus * new + state))
        state = decay * state + new
    return torch.cat(outs, 2), state


def rwkv6(given: Given) -> Any:
    decay, bonus = torch.exp(-torch.exp(given.gates)), torch.tensor([0.1, -0.4, 0.2]).unsqueeze(-1)
    state, out = torch.zeros(given.q.size(0), 2, 3, 2), torch.empty_like(given.v)
    for t in range(given.q.size(2)):
        new = given.k[:, :, t].unsqueeze(-1) @ given.v[:, :, t].unsqueeze(-2)
        out[:, :, t] = torch.einsum("nhk,nhkv->nhv", given.q[:, :, t], state + bonus * new)
        state = new + decay[:, :, t].unsqueeze(-1) * state
    return out, state


def rwkv7(given: Given) -> Any:
    """The state is multiplied by a diagonal matrix and another of rank one."""
    batch, _, steps, _ = given.q.shape
    decay, rate = torch.exp(-0.606531 * torch.sigmoid(given.gates)), torch.sigmoid(given.gates)
    state, out = torch.zeros(batch, 2, 2, 3), torch.zeros(batch, steps, 2, 2)
    for t in range(steps):
        key = given.k[:, :, t].unsqueeze(-2)
        removed = state @ -key.mT @ (key * rate[:, :, t].unsqueeze(-2))
        state = state * decay[:, :, t].unsqueeze(-2) + removed + given.v[:, :, t].unsqueeze(-1) @ key
        out[:, t] = (state @ given.q[:, :, t].unsqueeze(-1)).view(batch, 2, 2)
    return out.transpose(1, 2), state


def hgrn2(given: Given) -> Any:
    bound = torch.softmax(torch.arange(6.0).view(2, 3), 0).cumsum(0)[0]
    forget = bound + (1 - bound) * torch.sigmoid(given.gates)
    state, outs = given.q.new_zeros(given.q.size(0), 2, 3, 2), []
    for q, f, v in zip(given.q.unbind(2), forget.unbind(2), given.v.unbind(2), strict=True):
        state = f[..., None] * state + (1 - f)[..., None] * v[..., None, :]
        outs.append(torch.einsum("nhk,nhkv->nhv", q, state))
    return torch.stack(outs, dim=2), state


@pytest.mark.parametrize("form", [rwkv4, rwkv5, rwkv6, rwkv7, hgrn2])
def test_of_matrices_and_sums(form: Callable[[Given], Any], tmp_path: Path) -> None:
    assert len(exported(Heads(form), tmp_path).graph.node) < 90


class ScalarMemory(nn.Module):
    """sLSTM: gates read what the heads put out, and the first step has no largest exponent before it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project, self.across = nn.Linear(4, 16), nn.Parameter(torch.randn(4, 2, 2, 2) / 2)

    def forward(self, x: Tensor) -> Any:
        batch, steps, _ = x.shape
        h = c = n = m = x.new_zeros(batch, 4)
        projected, outs = self.project(x), []
        for t in range(steps):
            back = torch.einsum("nhd,ghde->nghe", h.view(batch, 2, 2), self.across).reshape(batch, 16)
            i, f, z, o = (projected[:, t] + back).chunk(4, -1)
            kept = m + F.logsigmoid(f)
            m = i if torch.all(n == 0.0) else torch.max(i, kept)
            taken, left = torch.exp(i - m), torch.exp(kept - m)
            c, n = left * c + taken * torch.tanh(z), left * n + taken
            h = torch.sigmoid(o) * c / n
            outs.append(h)
        return torch.stack(outs, 1), (h, c, n, m)


def test_of_scalars_with_exponential_gates(tmp_path: Path) -> None:
    assert len(exported(ScalarMemory(), tmp_path).graph.node) < 90


class Diagonal(nn.Module):
    """A complex state space of a diagonal matrix, whose kernel S4D convolves with, and LRU and S5 do not."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.log_decay, self.phase = nn.Parameter(torch.randn(4, 3) / 2), nn.Parameter(torch.randn(4, 3))
        self.into, self.out = nn.Parameter(torch.randn(4, 3, 2)), nn.Parameter(torch.randn(4, 3, 2))
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        rate = torch.complex(-self.log_decay.exp(), self.phase)
        into, out = torch.view_as_complex(self.into), torch.view_as_complex(self.out)
        return getattr(self, self.way)(x, rate, into, out)  # type: ignore[no-any-return]

    def convolving(self, x: Tensor, rate: Tensor, into: Tensor, out: Tensor) -> Tensor:
        steps = x.size(1)
        powers = torch.exp(rate.unsqueeze(-1) * torch.arange(steps))
        kernel = torch.einsum("dk,dkt->dt", out * into, powers).real
        spectrum = torch.fft.rfft(x.transpose(1, 2), n=2 * steps) * torch.fft.rfft(kernel, n=2 * steps)
        return torch.fft.irfft(spectrum, n=2 * steps)[..., :steps].transpose(1, 2)

    def stepping(self, x: Tensor, rate: Tensor, into: Tensor, out: Tensor) -> Tensor:
        state, outs = torch.zeros(x.size(0), 4, 3, dtype=torch.complex64), []
        for t in range(x.size(1)):
            state = rate.exp() * state + into * x[:, t].unsqueeze(-1)
            outs.append((state * out).sum(-1).real)
        return torch.stack(outs, 1)

    def scanning(self, x: Tensor, rate: Tensor, into: Tensor, out: Tensor) -> Tensor:
        taken = into * x.unsqueeze(-1)
        kept = rate.exp().expand(taken.shape).contiguous()
        _, states = associative_scan(
            lambda old, new: (old[0] * new[0], new[0] * old[1] + new[1]), (kept, taken), dim=1, combine_mode="generic"
        )
        return (states * out).sum(-1).real


WAYS = ["convolving", "stepping", "scanning"]


@pytest.mark.parametrize("way", WAYS)
def test_of_complex_states(way: str, tmp_path: Path) -> None:
    agree(Diagonal(way), Diagonal("stepping"))
    assert len(exported(Diagonal(way), tmp_path).graph.node) < 120
