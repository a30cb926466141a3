"""An LSTM step by step, in PyTorch's own functions: what happens inside a layer, for jitter to reach.

A gate that is off by an ulp of 1 moves a cell state of 1e6 by 0.1. Of a layer's results alone one cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

# Cell states within this are moved no further by a gate than by what a layer's results are moved by anyway.
LARGE = 16.0


def has_large_state(hx: object) -> bool:
    """Whether an LSTM begins with a cell state that the rounding of a gate moves far."""
    if not isinstance(hx, (list, tuple)) or len(hx) != 2 or not isinstance(hx[1], Tensor):
        return False
    return bool(hx[1].numel()) and float(hx[1].detach().abs().max()) > LARGE


def lstm(
    x: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `torch.lstm` of a padded input, in evaluation mode and without projections (torch.nn.LSTM, its equations)."""
    y = x.transpose(0, 1) if batch_first else x
    directions = 2 if bidirectional else 1
    each = 4 if has_biases else 2
    ends: list[tuple[Tensor, Tensor]] = []
    for layer in range(num_layers):
        parts = []
        for direction in range(directions):
            at = layer * directions + direction
            weights = params[at * each : (at + 1) * each]
            steps = y.flip(0) if direction else y
            out, end = _direction(steps, (hx[0][at], hx[1][at]), weights)
            parts.append(out.flip(0) if direction else out)
            ends.append(end)
        y = torch.cat(parts, -1)
    h_n, c_n = (torch.stack(states) for states in zip(*ends, strict=True))
    return (y.transpose(0, 1) if batch_first else y), h_n, c_n


def _direction(
    steps: Tensor, state: tuple[Tensor, Tensor], weights: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    outs = []
    for step in steps.unbind(0):
        state = lstm_cell(step, state, *weights)
        outs.append(state[0])
    return torch.stack(outs), state


def lstm_cell(
    x: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """As `torch.lstm_cell`."""
    h, c = hx
    gates = functional.linear(x, w_ih, b_ih) + functional.linear(h, w_hh, b_hh)
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
