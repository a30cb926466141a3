"""An LSTM whose gates are layer-normalised: a cell of one's own, run over time by a plain loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..spec.signature import Signature


class LayerNormLSTMCell(nn.Module):
    """One step (Ba, Kiros, Hinton: Layer Normalization, 2016, equations 20 to 22); gates in the order i, f, g, o.

    Shapes:
        x: float32[N, I]
        h, c: float32[N, H], given and returned
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.ih = nn.Linear(input_size, 4 * hidden_size, bias=False)
        self.hh = nn.Linear(hidden_size, 4 * hidden_size, bias=False)
        self.norm_ih = nn.LayerNorm(4 * hidden_size)
        self.norm_hh = nn.LayerNorm(4 * hidden_size)
        self.norm_c = nn.LayerNorm(hidden_size)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = (self.norm_ih(self.ih(x)) + self.norm_hh(self.hh(h))).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm_c(c)), c


class LayerNormLSTM(nn.Module):
    """The cell over time, from a zero state.

    Shapes:
        x: float32[T, N, I]
        output: float32[T, N, H]
        h_n, c_n: float32[N, H]
    """

    def __init__(self, input_size: int = 10, hidden_size: int = 20) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.cell = LayerNormLSTMCell(input_size, hidden_size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = torch.zeros(x.size(1), self.hidden_size, dtype=x.dtype)
        c = torch.zeros(x.size(1), self.hidden_size, dtype=x.dtype)
        outputs: list[Tensor] = []
        for step in x:
            h, c = self.cell(step, h, c)
            outputs.append(h)
        return torch.stack(outputs), h, c

    def signature(self) -> Signature:
        return Signature(inputs={"x": f"float32[T, N, {self.input_size}]"}, outputs=["output", "h_n", "c_n"])
