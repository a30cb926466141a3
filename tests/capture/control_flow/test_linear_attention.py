"""Matrix-valued states step by step, in parallel and chunk by chunk: RetNet, GLA, Mamba-2, gated delta rule, mLSTM."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matrix_memory import CHUNK, Given, Heads, agree, chunked, exported, padded
from torch import Tensor
from torch.nn import functional as F

GAMMA = 1 - 2.0 ** (-5 - torch.arange(2.0))


def zero_state(given: Given) -> Tensor:
    return given.q.new_zeros(given.q.size(0), 2, 3, 2)


def retention_steps(given: Given) -> Any:
    state: Any = 0
    outs = []
    for t in range(given.q.size(2)):
        state = GAMMA[:, None, None] * state + given.k[:, :, t].unsqueeze(-1) * given.v[:, :, t].unsqueeze(-2)
        outs.append((given.q[:, :, t].unsqueeze(-2) @ state).squeeze(-2))
    return torch.stack(outs, 2), state


def retention_mask(steps: int) -> Tensor:
    place = torch.arange(steps)
    apart = place[:, None] - place[None, :]
    return torch.where(apart >= 0, GAMMA[:, None, None] ** apart.clamp(min=0), 0.0)


def retention_parallel(given: Given) -> Any:
    return (given.q @ given.k.transpose(-1, -2) * retention_mask(given.q.size(2))) @ given.v


def retention_chunks(given: Given) -> Any:
    steps, state, outs = given.q.size(2), zero_state(given), []
    given, place, mask = padded(given), torch.arange(CHUNK), retention_mask(CHUNK)
    for q, k, v in zip(given.q.split(CHUNK, 2), given.k.split(CHUNK, 2), given.v.split(CHUNK, 2), strict=True):
        across = (q * (GAMMA[:, None] ** (place + 1))[..., None]) @ state
        outs.append((q @ k.transpose(-1, -2) * mask) @ v + across)
        kept = k * (GAMMA[:, None] ** (CHUNK - 1 - place))[..., None]
        state = GAMMA[:, None, None] ** CHUNK * state + kept.transpose(-1, -2) @ v
    return torch.cat(outs, 2)[:, :, :steps]


def gated_steps(given: Given) -> Any:
    state, out = zero_state(given), torch.zeros_like(given.v)
    for t in range(given.q.shape[2]):
        new = given.k[:, :, t].unsqueeze(-1) * given.v[:, :, t].unsqueeze(-2)
        state = state * given.gates[:, :, t].exp()[..., None] + new
        out[:, :, t, :] = (given.q[:, :, t, :, None] * state).sum(-2)
    return out, state


def gated_chunks(given: Given) -> Any:
    steps, state = given.q.size(2), zero_state(given)
    given = padded(given)
    q, k, v, gates = (chunked(x) for x in (given.q, given.k, given.v, given.gates))
    gates = gates.cumsum(-2)
    out = torch.zeros_like(v)
    for i in range(q.size(2)):
        scores = torch.zeros(q.size(0), 2, CHUNK, CHUNK)
        for j in range(CHUNK):
            decay = (gates[:, :, i] - gates[:, :, i, j].unsqueeze(2)).exp()
            scores[:, :, :, j] = (q[:, :, i] * k[:, :, i, j].unsqueeze(2) * decay).sum(-1)
        out[:, :, i] = scores.tril() @ v[:, :, i] + (q[:, :, i] * gates[:, :, i].exp()) @ state
        kept = k[:, :, i] * (gates[:, :, i, -1:] - gates[:, :, i]).exp()
        state = state * gates[:, :, i, -1].exp()[..., None] + kept.transpose(-1, -2) @ v[:, :, i]
    return out.flatten(2, 3)[:, :, :steps], state


def decay_steps(given: Given) -> Any:
    state, outs = zero_state(given), []
    for q, k, v, decay in zip(
        given.q.unbind(2), given.k.unbind(2), given.v.unbind(2), given.decay.unbind(2), strict=True
    ):
        state = state * decay[..., None, None].exp() + k[..., None] * v[..., None, :]
        outs.append(torch.einsum("nhk,nhkv->nhv", q, state))
    return torch.stack(outs, 2), state


def segment_sums(x: Tensor) -> Tensor:
    size = x.size(-1)
    wide = x[..., None].expand(*x.size(), size)
    wide = wide.masked_fill(~torch.tril(torch.ones(size, size, dtype=torch.bool), diagonal=-1), 0)
    return torch.cumsum(wide, dim=-2).masked_fill(~torch.ones(size, size, dtype=torch.bool).tril(), -torch.inf)


def duality_in_chunks(given: Given) -> Any:
    """Mamba-2's state space duality, whose states of all chunks are one product."""
    steps = given.q.size(2)
    given = padded(given)
    q, k, v, decay = (chunked(x) for x in (given.q, given.k, given.v, given.decay))
    sums = decay.cumsum(-1)
    within = torch.einsum("nhclk,nhcsk,nhcls,nhcsv->nhclv", q, k, segment_sums(decay).exp(), v)
    states = torch.einsum("nhclk,nhcl,nhclv->nhckv", k, (sums[..., -1:] - sums).exp(), v)
    states = torch.cat([torch.zeros_like(states[:, :, :1]), states], 2)
    between = segment_sums(F.pad(sums[..., -1], (1, 0))).exp()
    states = torch.einsum("nhzc,nhckv->nhzkv", between, states)
    across = torch.einsum("nhclk,nhckv,nhcl->nhclv", q, states[:, :, :-1], sums.exp())
    return (within + across).flatten(2, 3)[:, :, :steps], states[:, :, -1]


def delta_steps(given: Given) -> Any:
    state, out = zero_state(given), torch.zeros_like(given.v)
    for t in range(given.q.size(2)):
        k = given.k[:, :, t].unsqueeze(-1)
        state = state * given.decay[:, :, t, None, None].exp()
        change = (given.v[:, :, t] - (state * k).sum(-2)) * given.beta[:, :, t, None]
        state = state + k * change.unsqueeze(-2)
        out[:, :, t] = (state * given.q[:, :, t].unsqueeze(-1)).sum(-2)
    return out, state


def by_rows(system: Tensor) -> Tensor:
    """The inverse of a lower triangular matrix with ones on the diagonal, written to in place."""
    inverse = -system.tril(-1)
    for i in range(1, CHUNK):
        row, above = inverse[..., i, :i].clone(), inverse[..., :i, :i].clone()
        inverse[..., i, :i] = row + (row.unsqueeze(-1) * above).sum(-2)
    return inverse + torch.eye(CHUNK)


def by_solving(system: Tensor) -> Tensor:
    eye = torch.eye(CHUNK).expand_as(system)
    return torch.linalg.solve_triangular(system, eye, upper=False, unitriangular=True)


def delta_chunks(given: Given, inverse_of: Callable[[Tensor], Tensor]) -> Any:
    steps, state = given.q.size(2), zero_state(given)
    given = padded(given)
    q, k, v, decay, beta = (chunked(x) for x in (given.q, given.k, given.v, given.decay, given.beta))
    decay = decay.cumsum(-1)
    apart = (decay.unsqueeze(-1) - decay.unsqueeze(-2)).tril().exp().tril()
    inverse = inverse_of((k * beta.unsqueeze(-1)) @ k.transpose(-1, -2) * apart)
    value = inverse @ (v * beta.unsqueeze(-1))
    reading = inverse @ (k * (beta * decay.exp()).unsqueeze(-1))
    out = torch.zeros_like(value)
    for i in range(q.size(2)):
        new = value[:, :, i] - reading[:, :, i] @ state
        scores = (q[:, :, i] @ k[:, :, i].transpose(-1, -2) * apart[:, :, i]).tril()
        out[:, :, i] = (q[:, :, i] * decay[:, :, i, :, None].exp()) @ state + scores @ new
        kept = k[:, :, i] * (decay[:, :, i, -1:] - decay[:, :, i]).exp().unsqueeze(-1)
        state = state * decay[:, :, i, -1, None, None].exp() + kept.transpose(-1, -2) @ new
    return out.flatten(2, 3)[:, :, :steps], state


def delta_chunks_by_rows(given: Given) -> Any:
    return delta_chunks(given, by_rows)


def delta_chunks_by_solving(given: Given) -> Any:
    return delta_chunks(given, by_solving)


def mlstm_steps(given: Given) -> Any:
    state, norm = zero_state(given), given.q.new_zeros(given.q.size(0), 2, 3)
    largest = torch.full((given.q.size(0), 2), -torch.inf)
    outs = []
    for t in range(given.q.size(2)):
        forget, k = given.decay[:, :, t] + largest, given.k[:, :, t] / math.sqrt(3)
        largest = torch.maximum(forget, given.beta[:, :, t])
        keep, take = torch.exp(forget - largest), torch.exp(given.beta[:, :, t] - largest)
        new = k.unsqueeze(-1) * given.v[:, :, t].unsqueeze(-2)
        state = keep[..., None, None] * state + take[..., None, None] * new
        norm = keep[..., None] * norm + take[..., None] * k
        scale = torch.maximum((given.q[:, :, t] * norm).sum(-1).abs(), torch.exp(-largest))
        outs.append((given.q[:, :, t].unsqueeze(-2) @ state).squeeze(-2) / (scale[..., None] + 1e-6))
    return torch.stack(outs, 2), (state, norm, largest)


def mlstm_parallel(given: Given) -> Any:
    steps = given.q.size(2)
    sums = given.decay.cumsum(-1)
    logs = sums.unsqueeze(-1) - sums.unsqueeze(-2) + given.beta.unsqueeze(-2)
    logs = logs.masked_fill(~torch.tril(torch.ones(steps, steps, dtype=torch.bool)), -torch.inf)
    largest, _ = logs.max(-1, keepdim=True)
    scores = (given.q @ given.k.transpose(-1, -2)) / math.sqrt(3) * torch.exp(logs - largest)
    scale = torch.maximum(scores.sum(-1, keepdim=True).abs(), torch.exp(-largest))
    return scores / (scale + 1e-6) @ given.v


FORMS: dict[Callable[[Given], Any], list[Callable[[Given], Any]]] = {
    retention_steps: [retention_parallel, retention_chunks],
    gated_steps: [gated_chunks],
    decay_steps: [duality_in_chunks],
    delta_steps: [delta_chunks_by_rows, delta_chunks_by_solving],
    mlstm_steps: [mlstm_parallel],
}


@pytest.mark.parametrize(("steps", "other"), [(steps, other) for steps, others in FORMS.items() for other in others])
def test_all_forms_compute_the_same(steps: Callable[[Given], Any], other: Callable[[Given], Any]) -> None:
    agree(Heads(steps), Heads(other))


@pytest.mark.parametrize("form", [form for steps, others in FORMS.items() for form in (steps, *others)])
def test_every_form_is_right_at_every_length(form: Callable[[Given], Any], tmp_path: Path) -> None:
    assert len(exported(Heads(form), tmp_path).graph.node) < 180
