"""Loops of linear attention as people write them: one update and one readout each, of sizes that are all different."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from rnn_export import Signature
from torch import Tensor, nn
from torch.nn import functional

HEADS, KEYS, VALUES = 3, 4, 5
SIGNATURE = Signature(
    {
        "q": f"float32[N, T, {HEADS}, {KEYS}]",
        "k": f"float32[N, T, {HEADS}, {KEYS}]",
        "v": f"float32[N, T, {HEADS}, {VALUES}]",
        "g": f"float32[N, T, {HEADS}]",
        "w": f"float32[N, T, {HEADS}, {KEYS}]",
    },
    ["y", "last"],
)
Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Loop(nn.Module):
    """A loop over `step(state, q, k, v, g, w)`, which returns the state and a readout."""

    def __init__(self, step: Step, state: Sequence[int] = (HEADS, KEYS, VALUES)) -> None:
        super().__init__()
        self.step, self.state = step, (*state,)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        k = functional.normalize(k, dim=-1)
        state = q.new_zeros(q.shape[0], *self.state)
        outputs = []
        for t in range(q.shape[1]):
            state, y = self.step(state, q[:, t], k[:, t], v[:, t], g[:, t], w[:, t])
            outputs.append(y)
        return torch.stack(outputs, 1), state


def by_einsum(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = S + torch.einsum("nhi,nhj->nhij", k, v)
    return S, torch.einsum("nhi,nhij->nhj", q, S)


def by_matmul(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = S + k.unsqueeze(-1) @ v.unsqueeze(-2)
    return S, ((q * KEYS**-0.5).unsqueeze(-2) @ S).squeeze(-2)


def values_first(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = torch.exp(-functional.softplus(g))[..., None, None] * S + v[..., None] * k[..., None, :]
    return S, (S @ q[..., None])[..., 0]


def fixed_decay(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    decay = 1 - 2.0 ** (-2 - torch.arange(HEADS))
    S = decay[:, None, None] * S + k[..., None] * v[..., None, :]
    return S, (q[..., None] * S).sum(-2) / 2


def key_decay(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = torch.sigmoid(w)[..., None] * S + ((1 - torch.sigmoid(w)) * k)[..., None] * v[..., None, :]
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def moving_average(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = S + torch.sigmoid(g)[..., None, None] * (k[..., None] * v[..., None, :] - S)
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def before_the_update(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    bonus = (q * torch.arange(1.0, KEYS + 1) * k).sum(-1, keepdim=True)
    y = torch.einsum("nhij,nhi->nhj", S, q) + bonus * v
    return S * torch.exp(-torch.exp(w))[..., None] + k[..., None] @ v[..., None, :], y


def bonus_in_the_sum(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    new = k[..., None] @ v[..., None, :]
    bonus = torch.arange(1.0, KEYS + 1)[:, None]
    return S * torch.exp(-torch.exp(w))[..., None] + new, (q[..., None, :] @ (bonus * new + S)).squeeze(-2)


def delta(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    kept = torch.einsum("nhij,nhi->nhj", S, k)
    S = S + torch.einsum("nhi,nhj->nhij", k, torch.sigmoid(g)[..., None] * (v - kept))
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def delta_by_householder(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    b = torch.sigmoid(g)[..., None]
    S = (
        S
        - (b * k)[..., None] * torch.einsum("nhij,nhi->nhj", S, k)[..., None, :]
        + k[..., None] * (b * v)[..., None, :]
    )
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def gated_delta(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = S * torch.sigmoid(w.sum(-1))[..., None, None]
    kept = (S * k[..., None]).sum(-2)
    S = S + k[..., None] * (torch.sigmoid(g)[..., None] * (v - kept))[..., None, :]
    return S, (S * q[..., None]).sum(-2)


def normed_readout(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = 0.9 * S + k[..., None] * v[..., None, :]
    y = torch.einsum("nhij,nhi->nhj", S, q)
    return S, torch.tanh(functional.layer_norm(y, (VALUES,))) * v


# The rule of LinearAttention that each comes to.
TAKEN: Mapping[str, tuple[Loop, str]] = {
    step.__name__: (Loop(step, state), rule)
    for step, state, rule in (
        (by_einsum, (HEADS, KEYS, VALUES), "linear"),
        (by_matmul, (HEADS, KEYS, VALUES), "linear"),
        (values_first, (HEADS, VALUES, KEYS), "gated"),
        (fixed_decay, (HEADS, KEYS, VALUES), "gated"),
        (key_decay, (HEADS, KEYS, VALUES), "gated"),
        (before_the_update, (HEADS, KEYS, VALUES), "gated"),
        (delta, (HEADS, KEYS, VALUES), "delta"),
        (delta_by_householder, (HEADS, KEYS, VALUES), "delta"),
        (gated_delta, (HEADS, KEYS, VALUES), "gated_delta"),
        (normed_readout, (HEADS, KEYS, VALUES), "gated"),
    )
}


def decay_of_values(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = torch.sigmoid(v)[..., None, :] * S + k[..., None] * v[..., None, :]
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def decay_below_zero(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = torch.tanh(g)[..., None, None] * S + k[..., None] * v[..., None, :]
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def two_keys(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    kept = torch.einsum("nhij,nhi->nhj", S, w / 8)
    S = S + torch.einsum("nhi,nhj->nhij", k, torch.sigmoid(g)[..., None] * (v - kept))
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def decay_after_retrieval(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    kept = torch.einsum("nhij,nhi->nhj", S, k)
    S = torch.sigmoid(g)[..., None, None] * S + torch.einsum("nhi,nhj->nhij", k, v - kept)
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def bounded_state(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = torch.tanh(S + k[..., None] * v[..., None, :])
    return S, torch.einsum("nhij,nhi->nhj", S, q)


def two_readouts(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = S + k[..., None] * v[..., None, :]
    return S, torch.einsum("nhij,nhi->nhj", S, q) * torch.tanh(torch.einsum("nhij,nhi->nhj", S, w))


def mixed_heads(S: Tensor, q: Tensor, k: Tensor, v: Tensor, g: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    S = 0.5 * S.flip(1) + k[..., None] * v[..., None, :]
    return S, torch.einsum("nhij,nhi->nhj", S, q)


# What no operator computes.
LEFT: Mapping[str, Loop] = {
    step.__name__: Loop(step)
    for step in (
        decay_of_values,
        decay_below_zero,
        two_keys,
        decay_after_retrieval,
        bounded_state,
        two_readouts,
        mixed_heads,
        moving_average,
        bonus_in_the_sum,
    )
}
