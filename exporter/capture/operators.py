"""The recurrent operators that stay whole while a model is captured; their kernels call PyTorch's own.

One operator stands for a whole stack of layers, time-first, in evaluation mode. `weights` are PyTorch's flat
weights: for each layer and direction `weight_ih [G*H, I]`, `weight_hh [G*H, H]` and, with `has_bias`,
`bias_ih [G*H]`, `bias_hh [G*H]`. D = 2 if `bidirectional` else 1. A missing initial state is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

DOMAIN = "rnn_export"

_KERNELS = {"rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu, "gru": torch.gru}


@torch.library.custom_op(f"{DOMAIN}::recurrent", mutates_args=())
def recurrent(
    kind: str,
    x: Tensor,
    h0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
) -> tuple[Tensor, Tensor]:
    """`kind` is "rnn_tanh", "rnn_relu" or "gru"; x [T, N, I] and h0 [L*D, N, H] give y [T, N, D*H], h_n [L*D, N, H]."""
    h0 = _zeros(x, weights, num_layers, bidirectional) if h0 is None else h0
    y, h_n = _KERNELS[kind](x, h0, weights, has_bias, num_layers, 0.0, False, bidirectional, False)
    # An operator may not return its input or a view of another output, as PyTorch's kernels sometimes do.
    return y.clone(), h_n.clone()


@torch.library.custom_op(f"{DOMAIN}::lstm", mutates_args=())
def lstm(
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """x [T, N, I], h0 and c0 [L*D, N, H] give y [T, N, D*H], h_n and c_n [L*D, N, H]."""
    h0 = _zeros(x, weights, num_layers, bidirectional) if h0 is None else h0
    c0 = _zeros(x, weights, num_layers, bidirectional) if c0 is None else c0
    y, h_n, c_n = torch.lstm(x, (h0, c0), weights, has_bias, num_layers, 0.0, False, bidirectional, False)
    return y.clone(), h_n.clone(), c_n.clone()


@recurrent.register_fake
def _(
    kind: str,
    x: Tensor,
    h0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
) -> tuple[Tensor, Tensor]:
    return _outputs(x, weights, bidirectional), _zeros(x, weights, num_layers, bidirectional)


@lstm.register_fake
def _(
    x: Tensor,
    h0: Tensor | None,
    c0: Tensor | None,
    weights: list[Tensor],
    has_bias: bool,
    num_layers: int,
    bidirectional: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    state = _zeros(x, weights, num_layers, bidirectional)
    return _outputs(x, weights, bidirectional), state, torch.empty_like(state)


def _outputs(x: Tensor, weights: list[Tensor], bidirectional: bool) -> Tensor:
    hidden_size = weights[1].shape[1]
    return x.new_empty(x.shape[0], x.shape[1], hidden_size * (2 if bidirectional else 1))


def _zeros(x: Tensor, weights: list[Tensor], num_layers: int, bidirectional: bool) -> Tensor:
    hidden_size = weights[1].shape[1]
    return x.new_zeros(num_layers * (2 if bidirectional else 1), x.shape[1], hidden_size)
