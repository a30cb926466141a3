"""Recurrent layers of different widths, each started from an explicit zero state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..spec.signature import Signature
from .cells import Cell, recurrent, sequence


class HeteroRNN(nn.Module):
    """One recurrent layer per entry of `hidden_sizes`, then `Linear` on the last time step.

    Shapes, with C = `output_size`:
        x: float32[T, N, I], or [N, T, I] with `batch_first`
        logits: float32[N, C]
    """

    __constants__ = ("is_lstm",)  # TorchScript compiles only the branch that a constant selects

    def __init__(
        self,
        input_size: int = 100,
        hidden_sizes: tuple[int, ...] = (256, 156, 512, 512),
        output_size: int = 3,
        cell: Cell = "rnn_tanh",
        bidirectional: bool = False,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        if not hidden_sizes:
            raise ValueError("hidden_sizes needs at least one width")
        self.is_lstm = cell == "lstm"
        self.input_size = input_size
        self.batch_first = batch_first
        self.directions = 2 if bidirectional else 1
        widths = [input_size, *(hidden * self.directions for hidden in hidden_sizes)]
        self.rnn = nn.ModuleList(
            recurrent(cell, width, hidden_size, bidirectional=bidirectional, batch_first=batch_first)
            for width, hidden_size in zip(widths, hidden_sizes, strict=False)
        )
        self.fc = nn.Linear(widths[-1], output_size)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.size(0) if self.batch_first else x.size(1)
        for layer in self.rnn:
            # TorchScript unrolls this loop and knows each layer's type, which a type checker does not.
            h0 = torch.zeros(self.directions, batch, layer.hidden_size, dtype=x.dtype, device=x.device)  # type: ignore[call-overload]
            if self.is_lstm:
                x, _ = layer(x, (h0, h0))
            else:
                x, _ = layer(x, h0)
        logits: Tensor = self.fc(x[:, -1] if self.batch_first else x[-1])
        return logits

    def signature(self) -> Signature:
        return Signature(inputs={"x": sequence(self.input_size, self.batch_first)}, outputs=["logits"])
