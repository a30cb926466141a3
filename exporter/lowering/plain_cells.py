"""Part of the stopgap in `scripted`: `nn.RNNCell` and `nn.GRUCell` in operations that the deprecated exporter knows.

Source: the equations in the documentation of torch.nn.RNNCell and torch.nn.GRUCell.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def with_plain_cells(model: nn.Module) -> nn.Module:
    """A copy of the model with every such cell replaced; its weights keep their names."""
    copied = copy.deepcopy(model)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.GRUCell):
                setattr(module, name, _PlainGRUCell(child))
            elif isinstance(child, nn.RNNCell):
                setattr(module, name, _PlainRNNCell(child))
    return copied


class _PlainCell(nn.Module):
    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.hidden_size = cell.hidden_size
        self.weight_ih, self.weight_hh = cell.weight_ih, cell.weight_hh
        self.bias_ih, self.bias_hh = cell.bias_ih, cell.bias_hh


class _PlainRNNCell(_PlainCell):
    def __init__(self, cell: nn.RNNCell) -> None:
        super().__init__(cell)
        self.is_relu = cell.nonlinearity == "relu"

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        if h is None:
            h = torch.zeros(x.size(0), self.hidden_size, dtype=x.dtype)
        y = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        return torch.relu(y) if self.is_relu else torch.tanh(y)


class _PlainGRUCell(_PlainCell):
    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        if h is None:
            h = torch.zeros(x.size(0), self.hidden_size, dtype=x.dtype)
        x_r, x_z, x_n = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        h_r, h_z, h_n = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return n + torch.sigmoid(x_z + h_z) * (h - n)
