"""The same task for a library layer: `nn.GRU` or `nn.LSTM` between one-hot characters and logits."""

from __future__ import annotations

from typing import Literal

from rnn_export import Signature
from torch import Tensor, nn
from torch.nn import functional as F

STATES = {"gru": {"h0": "h_n"}, "lstm": {"h0": "h_n", "c0": "c_n"}}


class CharModel(nn.Module):
    """One recurrent layer over one-hot characters, then `Linear` on every time step.

    Shapes, with V = `vocab_size` and H = `num_hiddens`:
        tokens: int64[N, T], values 0..V-1
        states: h0, and of an LSTM c0, float32[1, N, H]
        logits: float32[T*N, V], the steps one after the other
    """

    def __init__(self, cell: Literal["gru", "lstm"], vocab_size: int, num_hiddens: int) -> None:
        super().__init__()
        self.cell = cell
        self.vocab_size = vocab_size
        self.num_hiddens = num_hiddens
        self.rnn = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](vocab_size, num_hiddens)
        self.fc = nn.Linear(num_hiddens, vocab_size)

    def forward(self, tokens: Tensor, h0: Tensor, c0: Tensor | None = None) -> tuple[Tensor, ...]:
        x = F.one_hot(tokens.T, self.vocab_size).to(self.fc.weight.dtype)
        output, states = self.rnn(x, h0 if c0 is None else (h0, c0))
        return self.fc(output.flatten(0, 1)), *((states,) if c0 is None else states)

    def signature(self) -> Signature:
        states = STATES[self.cell]
        return Signature(
            inputs={
                "tokens": f"int64[N, T] in 0..{self.vocab_size - 1}",
                **dict.fromkeys(states, f"float32[1, N, {self.num_hiddens}]"),
            },
            outputs=["logits", *states.values()],
            states=states,
        )
