"""The operators that a capture has for recurrent layers and packed sequences; their kernels call PyTorch's own.

One operator stands for a whole stack of layers, time-first, in evaluation mode. `weights` are PyTorch's flat
weights: for each layer and direction `weight_ih [G*H, I]`, `weight_hh [G*H, R]`, with `has_bias` `bias_ih [G*H]` and
`bias_hh [G*H]`, and in an LSTM with projections `weight_hr [R, H]`. R is the size of an output, the projection's or H.
D = 2 if `bidirectional` else 1. A missing initial state is zero.

With `lengths` int64[N] x is packed: [P, I], P = sum(lengths), the steps of all sequences, time-first and without
padding (see torch.nn.utils.rnn.PackedSequence). `pack` packs a padded x, `pad` undoes it. Unlike PyTorch's functions,
these take the lengths in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..torch_internals.capture import check

DOMAIN = "rnn_export"

_KERNELS: dict[str, Callable[..., Any]] = {
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
    "gru": torch.gru,
    "lstm": torch.lstm,
}


@torch.library.custom_op(f"{DOMAIN}::recurrent", mutates_args=())
def recurrent(
    kind: str,
    x: Tensor,
    h0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`kind` is "rnn_tanh", "rnn_relu" or "gru"; x [T, N, I] and h0 [L*D, N, H] give y [T, N, D*H] and h_n."""
    h0 = _states(x, weights, num_layers, bidirectional, lengths)[0] if h0 is None else h0
    y, h_n = _run(kind, x, h0, weights, has_bias, num_layers, bidirectional, lengths)
    return y, h_n


@torch.library.custom_op(f"{DOMAIN}::lstm", mutates_args=())
def lstm(
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, N, I], h0 [L*D, N, R] and c0 [L*D, N, H] give y [T, N, D*R], h_n [L*D, N, R] and c_n [L*D, N, H]."""
    zeros = _states(x, weights, num_layers, bidirectional, lengths)
    states = (zeros[0] if h0 is None else h0, zeros[1] if c0 is None else c0)
    y, h_n, c_n = _run("lstm", x, states, weights, has_bias, num_layers, bidirectional, lengths)
    return y, h_n, c_n


@torch.library.custom_op(f"{DOMAIN}::pack", mutates_args=())
def pack(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """x [T, N, *] and lengths int64[N] give data [P, *] and batch_sizes int64[S], S = max(lengths)."""
    mask = _mask(lengths)
    return x[: len(mask)][mask], mask.sum(1)


@torch.library.custom_op(f"{DOMAIN}::pad", mutates_args=())
def pad(data: Tensor, lengths: Tensor, steps: int, value: float) -> Tensor:
    """data [P, *] and lengths int64[N] give [steps, N, *], filled up with `value`."""
    mask = _mask(lengths)
    padded = data.new_full((steps, len(lengths), *data.shape[1:]), value)
    padded[: len(mask)][mask] = data
    return padded


@recurrent.register_fake
def _(
    kind: str,
    x: Tensor,
    h0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    return _outputs(x, weights, bidirectional), _states(x, weights, num_layers, bidirectional, lengths)[0]


@lstm.register_fake
def _(
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    h_n, c_n = _states(x, weights, num_layers, bidirectional, lengths)
    return _outputs(x, weights, bidirectional), h_n, c_n


@pack.register_fake
def _(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    context = torch.library.get_ctx()
    total, steps = context.new_dynamic_size(min=1), context.new_dynamic_size(min=1)
    check(steps <= x.shape[0])
    return x.new_empty(total, *x.shape[2:]), lengths.new_empty(steps)


@pad.register_fake
def _(data: Tensor, lengths: Tensor, steps: int, value: float) -> Tensor:
    return data.new_empty(steps, lengths.shape[0], *data.shape[1:])


def _run(
    kind: str,
    x: Tensor,
    states: Tensor | tuple[Tensor, ...],
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, ...]:
    common = (weights, has_bias, num_layers, 0.0, False, bidirectional)
    if lengths is not None:
        return _run_packed(kind, x, states, common, lengths)
    # An operator may not return its input or a view of another output, as PyTorch's kernels sometimes do.
    return tuple(output.clone() for output in _KERNELS[kind](x, states, *common, False))


def _run_packed(
    kind: str, x: Tensor, states: Tensor | tuple[Tensor, ...], common: tuple[Any, ...], lengths: Tensor
) -> tuple[Tensor, ...]:
    """PyTorch's kernels take the longest sequence first."""
    mask = _mask(lengths)
    order = lengths.argsort(descending=True, stable=True)
    ordered = pad(x, lengths, len(mask), 0.0)[:, order]
    sorted_mask = mask[:, order]
    first = tuple(state[:, order] for state in states) if isinstance(states, tuple) else states[:, order]
    y, *finals = _KERNELS[kind](ordered[sorted_mask], sorted_mask.sum(1), first, *common)
    inverse = order.argsort()
    padded = pad(y, lengths[order], len(mask), 0.0)[:, inverse]
    return (padded[mask], *(final[:, inverse] for final in finals))


def _mask(lengths: Tensor) -> Tensor:
    """bool[S, N]: which steps each sequence has."""
    return torch.arange(int(lengths.max())).unsqueeze(1) < lengths


def _outputs(x: Tensor, weights: list[Tensor], bidirectional: bool) -> Tensor:
    return x.new_empty(*x.shape[:-1], weights[1].shape[1] * (2 if bidirectional else 1))


def _states(
    x: Tensor, weights: list[Tensor], num_layers: int, bidirectional: bool, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Zeros of the shape of h [L*D, N, R] and, in an LSTM, of c [L*D, N, H]."""
    rows = num_layers * (2 if bidirectional else 1)
    batch = x.shape[1] if lengths is None else lengths.shape[0]
    return x.new_zeros(rows, batch, weights[1].shape[1]), x.new_zeros(rows, batch, weights[1].shape[0] // 4)
