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

from .carrying import carrying
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


def build(model: Model, shape: Shape, *, carries: bool = False) -> Network:
    """The model of a row, and its inputs: standard normal, or tokens that are all as likely.

    With `carries` it takes its states, which are zero at first, and returns them; "from-scratch" always does.
    """
    torch.manual_seed(SEED)
    if model == "from-scratch":
        scratch = ScratchRNN(shape.I, shape.H).eval()
        tokens = torch.randint(shape.I, (shape.N, shape.T))
        return Network(scratch, scratch.signature(), {"tokens": tokens, "h0": torch.zeros(shape.N, shape.H)})
    plain = _plain(model, shape).eval()
    inputs = {"x": torch.randn(shape.T, shape.N, shape.I)}
    if not carries:
        return Network(plain, plain.signature(), inputs)
    module, signature = carrying(plain)
    states = {name: torch.zeros(signature.inputs[name].sized({"N": shape.N})) for name in signature.states}
    return Network(module, signature, {**inputs, **states})


def _plain(model: Model, shape: Shape) -> DeepRNN | HeteroRNN:
    if model == "hetero":
        return HeteroRNN(shape.I, tuple(widths(model, shape)), CLASSES)
    return DeepRNN(shape.I, shape.H, shape.L, _CELLS[model])


def flat(output: object) -> list[Tensor]:
    """The tensors of a model's output, in order."""
    if isinstance(output, Tensor):
        return [output]
    assert isinstance(output, tuple)
    return [tensor for part in output for tensor in flat(part)]
