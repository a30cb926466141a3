"""Stacked recurrent layers of one width."""

from __future__ import annotations

from torch import Tensor, nn

from ..spec.signature import Signature
from .cells import Cell, final_states, recurrent, sequence


class DeepRNN(nn.Module):
    """L stacked layers; in one direction, time-first, `output[-1]` equals `h_n[-1]`.

    Shapes, with D = 2 if `bidirectional` else 1:
        x: float32[T, N, I], or [N, T, I] with `batch_first`
        output: float32[T, N, D*H], or [N, T, D*H]
        h_n (and c_n for "lstm"): float32[L*D, N, H]
    """

    def __init__(
        self,
        input_size: int = 10,
        hidden_size: int = 20,
        num_layers: int = 4,
        cell: Cell = "rnn_tanh",
        bidirectional: bool = False,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.cell = cell
        self.rnn = recurrent(
            cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, batch_first=batch_first
        )

    # No return type: TorchScript infers it, and an LSTM returns a pair of states where the others return one.
    def forward(self, x: Tensor):  # type: ignore[no-untyped-def]
        return self.rnn(x)

    def signature(self) -> Signature:
        return Signature(
            inputs={"x": sequence(self.rnn.input_size, self.rnn.batch_first)},
            outputs=["output", *final_states(self.cell)],
        )
