"""The models of the rows, with the same random weights and inputs in whatever process they are built."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rnn_export import Signature
from rnn_export.models.cells import Cell
from rnn_export.models.deep import DeepRNN
from rnn_export.models.hetero import HeteroRNN
from rnn_export.models.scratch import ScratchRNN
from torch import Tensor, nn

from .rows import CLASSES, Model, Shape, widths

SEED = 0
_CELLS: dict[Model, Cell] = {"RNN": "rnn_tanh", "GRU": "gru", "LSTM": "lstm"}


@dataclass(frozen=True, eq=False)
class Network:
    """A model in evaluation mode, its signature, and inputs in the signature's order."""

    module: nn.Module
    signature: Signature
    inputs: dict[str, Tensor]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        return {name: tensor.numpy() for name, tensor in self.inputs.items()}


def build(model: Model, shape: Shape) -> Network:
    """The model of a row, and its inputs: standard normal, or tokens that are all as likely."""
    torch.manual_seed(SEED)
    if model == "from-scratch":
        scratch = ScratchRNN(shape.I, shape.H).eval()
        tokens = torch.randint(shape.I, (shape.N, shape.T))
        return Network(scratch, scratch.signature(), {"tokens": tokens, "h0": torch.zeros(shape.N, shape.H)})
    if model == "hetero":
        hetero = HeteroRNN(shape.I, tuple(widths(model, shape)), CLASSES).eval()
        return Network(hetero, hetero.signature(), {"x": torch.randn(shape.T, shape.N, shape.I)})
    deep = DeepRNN(shape.I, shape.H, shape.L, _CELLS[model]).eval()
    return Network(deep, deep.signature(), {"x": torch.randn(shape.T, shape.N, shape.I)})


def flat(output: object) -> list[Tensor]:
    """The tensors of a model's output, in order."""
    if isinstance(output, Tensor):
        return [output]
    assert isinstance(output, tuple)
    return [tensor for part in output for tensor in flat(part)]
