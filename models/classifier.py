"""A sequence classifier that reads the last time step."""

from __future__ import annotations

from torch import Tensor, nn

from ..spec.signature import Signature
from .cells import Cell, recurrent, sequence


class Classifier(nn.Module):
    """Stacked layers, then `Linear` on the output of the last time step.

    Shapes, with C = `output_size`:
        x: float32[T, N, I], or [N, T, I] with `batch_first`
        logits: float32[N, C]
    """

    def __init__(
        self,
        input_size: int = 100,
        hidden_size: int = 256,
        num_layers: int = 4,
        output_size: int = 3,
        cell: Cell = "rnn_tanh",
        bidirectional: bool = False,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.rnn = recurrent(
            cell, input_size, hidden_size, num_layers, bidirectional=bidirectional, batch_first=batch_first
        )
        self.fc = nn.Linear(hidden_size * (2 if bidirectional else 1), output_size)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.rnn(x)
        logits: Tensor = self.fc(output[:, -1] if self.batch_first else output[-1])
        return logits

    def signature(self) -> Signature:
        return Signature(inputs={"x": sequence(self.rnn.input_size, self.batch_first)}, outputs=["logits"])
