"""One recurrent layer, as the library has it."""

from __future__ import annotations

from .cells import Cell
from .deep import DeepRNN


class SingleRNN(DeepRNN):
    """One `nn.RNN`, `nn.GRU` or `nn.LSTM` layer.

    Shapes, with D = 2 if `bidirectional` else 1:
        x: float32[T, N, I], or [N, T, I] with `batch_first`
        output: float32[T, N, D*H], or [N, T, D*H]
        h_n (and c_n for "lstm"): float32[D, N, H]
    """

    def __init__(
        self,
        input_size: int = 10,
        hidden_size: int = 20,
        cell: Cell = "rnn_tanh",
        bidirectional: bool = False,
        batch_first: bool = False,
    ) -> None:
        super().__init__(input_size, hidden_size, 1, cell, bidirectional, batch_first)
