"""The RNN from scratch: one-hot characters, explicit weights and an explicit loop over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..spec.signature import Signature


class ScratchRNN(nn.Module):
    """A character model written out by hand, h_t = tanh(x_t W_xh + h_{t-1} W_hh + b_h), y_t = h_t W_hq + b_q.

    Shapes, with V = `vocab_size` and H = `num_hiddens`:
        tokens: int64[N, T], values 0..V-1
        h0: float32[N, H]
        logits: float32[T*N, V], the steps one after the other
        h_n: float32[N, H]
    """

    def __init__(self, vocab_size: int = 28, num_hiddens: int = 512) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.num_hiddens = num_hiddens
        self.W_xh = nn.Parameter(torch.randn(vocab_size, num_hiddens) * 0.01)
        self.W_hh = nn.Parameter(torch.randn(num_hiddens, num_hiddens) * 0.01)
        self.b_h = nn.Parameter(torch.zeros(num_hiddens))
        self.W_hq = nn.Parameter(torch.randn(num_hiddens, vocab_size) * 0.01)
        self.b_q = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        inputs = F.one_hot(tokens.T, self.vocab_size).to(self.W_xh.dtype)
        h = h0
        outputs: list[Tensor] = []
        for x in inputs:
            h = torch.tanh(x @ self.W_xh + h @ self.W_hh + self.b_h)
            outputs.append(h @ self.W_hq + self.b_q)
        return torch.cat(outputs, dim=0), h

    def signature(self) -> Signature:
        return Signature(
            inputs={
                "tokens": f"int64[N, T] in 0..{self.vocab_size - 1}",
                "h0": f"float32[N, {self.num_hiddens}]",
            },
            outputs=["logits", "h_n"],
            states={"h0": "h_n"},
        )
