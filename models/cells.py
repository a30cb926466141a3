"""Which library layer a cell name stands for, and what its states are called."""

from __future__ import annotations

from typing import Literal

from torch import nn

Cell = Literal["rnn_tanh", "rnn_relu", "gru", "lstm"]


def recurrent(
    cell: Cell,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    bidirectional: bool = False,
    batch_first: bool = False,
) -> nn.RNN | nn.GRU | nn.LSTM:
    """The `nn.RNN`, `nn.GRU` or `nn.LSTM` that `cell` names."""
    layer, nonlinearity = {
        "rnn_tanh": (nn.RNN, {"nonlinearity": "tanh"}),
        "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
        "gru": (nn.GRU, {}),
        "lstm": (nn.LSTM, {}),
    }[cell]
    built: nn.RNN | nn.GRU | nn.LSTM = layer(
        input_size,
        hidden_size,
        num_layers,
        bidirectional=bidirectional,
        batch_first=batch_first,
        **nonlinearity,
    )
    return built


def sequence(input_size: int, batch_first: bool) -> str:
    """The spec of a float sequence: `float32[T, N, I]`, or `float32[N, T, I]` with `batch_first`."""
    return f"float32[N, T, {input_size}]" if batch_first else f"float32[T, N, {input_size}]"


def final_states(cell: Cell) -> tuple[str, ...]:
    """Names of the final states that a layer of this cell returns."""
    return ("h_n", "c_n") if cell == "lstm" else ("h_n",)
