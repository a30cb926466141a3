"""The minimal gated unit, a recurrence with a single gate, run over time by a plain loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..spec.signature import Signature


class MGUCell(nn.Module):
    """One step (Zhou, Wu, Zhang, Zhou: Minimal Gated Unit for Recurrent Neural Networks, 2016, equations 7 to 9).

    Shapes:
        x: float32[N, I]
        h: float32[N, H], given and returned
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.forget = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        f = torch.sigmoid(self.forget(torch.cat([h, x], dim=-1)))
        candidate = torch.tanh(self.candidate(torch.cat([f * h, x], dim=-1)))
        return (1 - f) * h + f * candidate


class MGU(nn.Module):
    """The cell over time, with its state given.

    Shapes:
        x: float32[T, N, I]
        h0: float32[N, H]
        output: float32[T, N, H]
        h_n: float32[N, H]
    """

    def __init__(self, input_size: int = 10, hidden_size: int = 20) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.cell = MGUCell(input_size, hidden_size)

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        h = h0
        outputs: list[Tensor] = []
        for step in x:
            h = self.cell(step, h)
            outputs.append(h)
        return torch.stack(outputs), h

    def signature(self) -> Signature:
        return Signature(
            inputs={"x": f"float32[T, N, {self.input_size}]", "h0": f"float32[N, {self.hidden_size}]"},
            outputs=["output", "h_n"],
            states={"h0": "h_n"},
        )
