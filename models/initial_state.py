"""The tagger with its initial state given explicitly, as an input or as zeros made in `forward`."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..spec.signature import Signature
from .cells import Cell, final_states, recurrent, sequence


class InitialStateTagger(nn.Module):
    """A tagger that takes its initial state and returns its final one, so that a stream can be fed in pieces.

    `initial="input"` makes the state an input of the model; `initial="zeros"` makes zeros in `forward`, whose
    batch size is dimension 1 of the time-first input.

    Shapes, with C = `output_size` and D = 2 if `bidirectional` else 1:
        x: float32[T, N, I], or [N, T, I] with `batch_first`
        h0 (and c0 for "lstm"): float32[L*D, N, H]
        logits: float32[T*N, C]
        h_n (and c_n for "lstm"): float32[L*D, N, H]
    """

    __constants__ = ("is_lstm",)  # TorchScript compiles only the branch that a constant selects

    def __init__(
        self,
        input_size: int = 100,
        hidden_size: int = 256,
        num_layers: int = 4,
        output_size: int = 3,
        initial: Literal["input", "zeros"] = "input",
        cell: Cell = "rnn_tanh",
        bidirectional: bool = False,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.initial = initial
        self.cell = cell
        self.is_lstm = cell == "lstm"
        self.batch_dim = 0 if batch_first else 1
        self.num_states = num_layers * (2 if bidirectional else 1)
        self.hidden_size = hidden_size
        self.rnn = recurrent(
            cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, batch_first=batch_first
        )
        self.fc = nn.Linear(hidden_size * (2 if bidirectional else 1), output_size)

    # No return type: TorchScript infers it, and an LSTM has one more output.
    def forward(self, x: Tensor, h0: Tensor | None = None, c0: Tensor | None = None):  # type: ignore[no-untyped-def]
        zeros = torch.zeros(self.num_states, x.size(self.batch_dim), self.hidden_size, dtype=x.dtype, device=x.device)
        h = zeros if h0 is None else h0
        if self.is_lstm:
            c = zeros if c0 is None else c0
            output, (h_n, c_n) = self.rnn(x, (h, c))
            return self.fc(output.reshape(-1, output.size(-1))), h_n, c_n
        else:  # noqa: RET505  TorchScript needs the branch to be told apart
            output, h_n = self.rnn(x, h)
            return self.fc(output.reshape(-1, output.size(-1))), h_n

    def signature(self) -> Signature:
        after = final_states(self.cell)
        before = tuple(name.replace("_n", "0") for name in after) if self.initial == "input" else ()
        inputs = {"x": sequence(self.rnn.input_size, self.rnn.batch_first)}
        inputs |= dict.fromkeys(before, f"float32[{self.num_states}, N, {self.hidden_size}]")
        return Signature(inputs, outputs=["logits", *after], states=dict(zip(before, after, strict=False)))
