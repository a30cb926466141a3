"""PyTorch's recurrent weights in the form of ONNX: gates reordered, directions stacked, biases joined.

Sources: torch.nn.RNN, GRU and LSTM (gate order of their parameters); ONNX operator specification of RNN, GRU and LSTM
(inputs W, R and B; gates `zrh` of GRU, `iofc` of LSTM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Which of PyTorch's gates stands at each place in ONNX: PyTorch has r, z, n for a GRU and i, f, g, o for an LSTM.
GATE_ORDER = {"rnn_tanh": (0,), "rnn_relu": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}
Array = NDArray[np.generic]


@dataclass(frozen=True)
class OnnxWeights:
    """One layer's weights: W [D, G*H, I], R [D, G*H, H], B [D, 2*G*H] or None without biases."""

    W: Array
    R: Array
    B: Array | None


def onnx_weights(kind: str, directions: Sequence[Sequence[Array]]) -> OnnxWeights:
    """Convert one layer; each direction is (weight_ih, weight_hh) or (weight_ih, weight_hh, bias_ih, bias_hh)."""
    order = GATE_ORDER[kind]
    reordered = [[reorder(array, order) for array in direction] for direction in directions]
    biases = [np.concatenate(direction[2:]) for direction in reordered if len(direction) == 4]
    return OnnxWeights(
        W=np.stack([direction[0] for direction in reordered]),
        R=np.stack([direction[1] for direction in reordered]),
        B=np.stack(biases) if biases else None,
    )


def reorder(array: Array, order: Sequence[int]) -> Array:
    """The gates [G*H, ...] of a weight in another order."""
    gates = np.split(array, len(order))
    return np.concatenate([gates[gate] for gate in order])
