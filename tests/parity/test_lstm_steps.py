"""An LSTM step by step is that of PyTorch, and jitter reaches the gates of one with a large cell state."""

from __future__ import annotations

import pytest
import torch
from rnn_export.parity.jitter import Jitter
from rnn_export.parity.lstm_steps import lstm, lstm_cell
from torch import nn


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_it_is_the_layer(num_layers: int, bias: bool, bidirectional: bool) -> None:
    layer = nn.LSTM(3, 4, num_layers, bias=bias, bidirectional=bidirectional).double()
    x, states = torch.randn(5, 2, 3).double(), [torch.randn(num_layers * (1 + bidirectional), 2, 4).double()] * 2
    args = (x, states, layer._flat_weights, bias, num_layers, 0.0, False, bidirectional, False)
    for got, expected in zip(lstm(*args), torch.lstm(*args), strict=True):
        torch.testing.assert_close(got, expected)


def test_it_is_the_cell() -> None:
    cell = nn.LSTMCell(3, 4).double()
    x, state = torch.randn(2, 3).double(), (torch.randn(2, 4).double(), torch.randn(2, 4).double())
    weights = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    torch.testing.assert_close(lstm_cell(x, state, *weights), torch.lstm_cell(x, state, *weights))


def test_a_large_cell_state_moves_by_the_error_of_a_gate() -> None:
    torch.manual_seed(0)
    layer, x = nn.LSTM(3, 4), torch.randn(1, 2, 3)
    states = (torch.zeros(1, 2, 4), torch.full((1, 2, 4), 1e8))
    with torch.no_grad():
        still = layer(x, states)[1][1]
        with Jitter(0):
            moved = layer(x, states)[1][1]
    assert (moved - still).abs().max() > 1
