"""Linear attention over all steps at once, and chunk by chunk, as people write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from rnn_export import Signature
from torch import Tensor, nn
from torch.nn import functional

HEADS, KEYS, VALUES = 3, 4, 5
CHUNK = 4
SIGNATURE = Signature(
    {
        "q": f"float32[N, T, {HEADS}, {KEYS}]",
        "k": f"float32[N, T, {HEADS}, {KEYS}]",
        "v": f"float32[N, T, {HEADS}, {VALUES}]",
        "g": f"float32[N, T, {HEADS}]",
        "b": f"float32[N, T, {HEADS}]",
    },
    ["y"],
)
Form = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


class Parallel(nn.Module):
    """`form(q, k, v, g, b)`; k has length 1, g is the logarithm of a decay and b between 0 and 1."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
        return self.form(q, functional.normalize(k, dim=-1), v, functional.logsigmoid(g), torch.sigmoid(b))


def _causal(q: Tensor) -> Tensor:
    return torch.ones(q.shape[1], q.shape[1]).tril()


def masked(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    scores = (q @ k.transpose(-1, -2)) * KEYS**-0.5
    return ((scores * torch.tril(torch.ones(q.shape[2], q.shape[2]))) @ v).transpose(1, 2)


def by_einsum(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, _causal(q), v)


def filled(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    scores = torch.einsum("nihk,njhk->nhij", q, k).masked_fill(_causal(q) == 0, 0.0)
    return torch.einsum("nhij,njhv->nihv", scores, v)


def retention(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """Each head forgets at a rate of its own."""
    at = torch.arange(q.shape[1])
    apart = (at[:, None] - at[None]).float()
    rates = 1 - 2.0 ** (-2 - torch.arange(HEADS).float())
    decay = torch.where(apart >= 0, rates[:, None, None] ** apart, torch.zeros(()))
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    return ((q @ k.transpose(-1, -2) * decay) @ v).transpose(1, 2)


def one_rate(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    at = torch.arange(q.shape[1])
    decay = 0.9 ** (at[:, None] - at[None]).clamp(min=0) * _causal(q)
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, decay, v)


def gated(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    total = g.cumsum(1).transpose(1, 2)
    apart = total[..., :, None] - total[..., None, :]
    decay = apart.masked_fill(_causal(q) == 0, -torch.inf).exp()
    return torch.einsum("nihk,njhk,nhij,njhv->nihv", q, k, decay, v)


def weighted(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """One key and query for all heads, and a step as long as b: values weigh b, and fade by a rate times b."""
    rates = -torch.arange(1.0, HEADS + 1)
    total = (b * rates).cumsum(1).transpose(1, 2)
    apart = (total[..., :, None] - total[..., None, :]).tril().exp().tril()
    scores = (q[:, :, 0] @ k[:, :, 0].transpose(1, 2))[:, None] * apart
    return (scores @ (b[..., None] * v).transpose(1, 2)).transpose(1, 2)


def normalised(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """By the sum of its weights."""
    q, k, v = (each.transpose(1, 2) for each in (functional.elu(q) + 1, functional.elu(k) + 1, v))
    scores = (q @ k.transpose(-1, -2)).tril()
    return ((scores @ v) / (scores.sum(-1, keepdim=True) + 1e-6)).transpose(1, 2)


def chunked(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """A loop over chunks carries the state (retention)."""
    steps = q.shape[1]
    rest = (CHUNK - steps % CHUNK) % CHUNK
    q, k, v = (functional.pad(each.transpose(1, 2), (0, 0, 0, rest)) for each in (q, k, v))
    q, k, v = (each.unflatten(2, (-1, CHUNK)) for each in (q, k, v))
    at = torch.arange(CHUNK).float()
    rates = (1 - 2.0 ** (-2 - torch.arange(HEADS).float()))[:, None, None]
    inner = torch.where(at[:, None] >= at[None], rates ** (at[:, None] - at[None]).clamp(min=0), 0.0)
    state = q.new_zeros(q.shape[0], HEADS, KEYS, VALUES)
    outputs = []
    for c in range(q.shape[2]):
        own, keys, values = q[:, :, c], k[:, :, c], v[:, :, c]
        cross = (own @ state) * rates ** (at[:, None] + 1)
        outputs.append((own @ keys.transpose(-1, -2) * inner) @ values + cross)
        faded = keys * rates ** (CHUNK - 1 - at[:, None])
        state = state * rates**CHUNK + faded.transpose(-1, -2) @ values
    return torch.stack(outputs, 2).flatten(2, 3)[:, :, :steps].transpose(1, 2)


def _segments(x: Tensor) -> Tensor:
    """The sums of x between any two steps."""
    total = x.cumsum(-1)
    apart = total[..., :, None] - total[..., None, :]
    return apart.masked_fill(torch.ones(apart.shape[-1], apart.shape[-1]).triu(1) == 1, -torch.inf)


def state_space_dual(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """Chunks at once, and their states by a matrix over all chunks; a share of the values is added (Mamba-2)."""
    steps = q.shape[1]
    rest = (CHUNK - steps % CHUNK) % CHUNK
    share = functional.pad(v, (0, 0, 0, 0, 0, rest)) * torch.arange(1.0, HEADS + 1)[:, None]
    k, v, q, g = (functional.pad(each, (0, 0) * (each.dim() - 2) + (0, rest)) for each in (k, v * b[..., None], q, g))
    k, v, q, g = (each.unflatten(1, (-1, CHUNK)) for each in (k, v, q, g))
    g = g.permute(0, 3, 1, 2)
    total = g.cumsum(-1)
    inside = torch.einsum("nclhk,ncshk,nhcls,ncshv->nclhv", q, k, _segments(g).exp(), v)
    left = (total[..., -1:] - total).exp()
    states = torch.einsum("nclhk,nhcl,nclhv->nchkv", k, left, v)
    states = torch.cat([torch.zeros_like(states[:, :1]), states], 1)
    carried = _segments(functional.pad(total[..., -1], (1, 0))).exp()
    states = torch.einsum("nhzc,nchkv->nzhkv", carried, states)[:, :-1]
    across = torch.einsum("nclhk,nchkv,nhcl->nclhv", q, states, total.exp())
    return ((inside + across).flatten(1, 2) + share)[:, :steps]


def delta_in_chunks(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """The gated delta rule: within a chunk a triangular system is solved row by row (Gated DeltaNet)."""
    steps = q.shape[1]
    rest = (CHUNK - steps % CHUNK) % CHUNK
    q, k, v = (functional.pad(each.transpose(1, 2), (0, 0, 0, rest)) for each in (q * KEYS**-0.5, k, v))
    g, b = (functional.pad(each.transpose(1, 2), (0, rest)) for each in (g, b))
    written, read = v * b[..., None], k * b[..., None]
    q, k, read, written = (each.reshape(*each.shape[:2], -1, CHUNK, each.shape[-1]) for each in (q, k, read, written))
    total = g.reshape(*g.shape[:2], -1, CHUNK).cumsum(-1)
    fade = (total[..., :, None] - total[..., None, :]).tril().exp().tril()
    upper = torch.ones(CHUNK, CHUNK, dtype=torch.bool).triu()
    solved = -((read @ k.transpose(-1, -2)) * fade).masked_fill(upper, 0)
    for i in range(1, CHUNK):
        row, above = solved[..., i, :i].clone(), solved[..., :i, :i].clone()
        solved[..., i, :i] = row + (row[..., None] * above).sum(-2)
    solved = solved + torch.eye(CHUNK)
    values, keys = solved @ written, solved @ (read * total.exp()[..., None])
    state = q.new_zeros(q.shape[0], HEADS, KEYS, VALUES)
    outputs = torch.zeros_like(values)
    for c in range(q.shape[2]):
        within = (q[:, :, c] @ k[:, :, c].transpose(-1, -2) * fade[:, :, c]).masked_fill(upper.triu(1), 0)
        new = values[:, :, c] - keys[:, :, c] @ state
        outputs[:, :, c] = (q[:, :, c] * total[:, :, c, :, None].exp()) @ state + within @ new
        last = total[:, :, c, -1, None]
        faded = k[:, :, c] * (last - total[:, :, c]).exp()[..., None]
        state = state * last[..., None].exp() + faded.transpose(-1, -2) @ new
    return outputs.reshape(*outputs.shape[:2], -1, VALUES)[:, :, :steps].transpose(1, 2)


def solved_delta(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """The delta rule over all steps at once, its triangular system solved by PyTorch."""
    q, k, v, b = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), b.transpose(1, 2)[..., None]
    system = torch.eye(q.shape[2]) + ((b * k) @ k.transpose(-1, -2)).tril(-1)
    new = torch.linalg.solve_triangular(system, b * v, upper=False)
    return ((q @ k.transpose(-1, -2)).tril() @ new).transpose(1, 2)


# The rule of LinearAttention that each comes to, once for each operator that it has.
TAKEN: Mapping[str, tuple[Parallel, list[str]]] = {
    form.__name__: (Parallel(form), rules)
    for form, rules in (
        (masked, ["linear"]),
        (by_einsum, ["linear"]),
        (filled, ["linear"]),
        (retention, ["gated"]),
        (one_rate, ["gated"]),
        (gated, ["gated"]),
        (weighted, ["gated"]),
        (normalised, ["linear", "linear"]),
        (chunked, ["gated"]),
        (state_space_dual, ["gated"]),
        (delta_in_chunks, ["gated_delta"]),
        (solved_delta, ["delta"]),
    )
}


def softened(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    scores = torch.einsum("nihk,njhk->nhij", q, k).masked_fill(_causal(q) == 0, -torch.inf)
    return torch.einsum("nhij,njhv->nihv", scores.softmax(-1), v)


def in_both_directions(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("nihk,njhk,njhv->nihv", q, k, v)


def without_itself(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, _causal(q).tril(-1), v)


def in_a_window(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, _causal(q).triu(-2), v)


def bounded_scores(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """What only large inputs show."""
    scores = torch.einsum("nihk,njhk->nhij", q, k).clamp(max=50) * _causal(q)
    return torch.einsum("nhij,njhv->nihv", scores, v)


def squared_scores(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    scores = torch.einsum("nihk,njhk->nhij", q, k) ** 2 * _causal(q)
    return torch.einsum("nhij,njhv->nihv", scores, v)


def forgotten_chunks(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """Only the chunk before is remembered, which short sequences do not show."""
    at = torch.arange(q.shape[1]) // (2 * CHUNK)
    near = (at[:, None] - at[None] < 2).float() * _causal(q)
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, near, v)


def in_a_wide_window(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """One that no short sequence fills."""
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, _causal(q).triu(-3000), v)


def bounded_distances(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """A decay that goes on for 1500 steps, and then no further."""
    at = torch.arange(q.shape[1])
    decay = 0.999 ** (at[:, None] - at[None]).clamp(0, 1500) * _causal(q)
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, decay, v)


def without_end(q: Tensor, k: Tensor, v: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """A window that is wider than any run of it."""
    at = torch.arange(q.shape[1])
    near = (at[:, None] - at[None] < 100_000).float() * _causal(q)
    return torch.einsum("nihk,njhk,ij,njhv->nihv", q, k, near, v)


# What no operator computes.
LEFT: Mapping[str, Parallel] = {
    form.__name__: Parallel(form)
    for form in (
        softened,
        in_both_directions,
        without_itself,
        in_a_window,
        bounded_scores,
        squared_scores,
        forgotten_chunks,
        in_a_wide_window,
        bounded_distances,
        without_end,
    )
}
