"""One step of a recurrent layer in the body of a Scan: the arrays it needs, and its nodes.

Source: the equations in the documentation of torch.nn.RNN, GRU and LSTM. Matrices are stored as products need them,
[I, G*H] and [H, G*H] (PyTorch's are transposed). Only what depends on the state is in the step: the product of the
input and every bias that can be added to it are computed before the loop, for all time steps at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from .stack import reorder_gates

Array = NDArray[Any]
Arrays = dict[str, Array]
Weights = Mapping[str, ir.Value]
Nodes = Callable[[ir.tape.Tape, Sequence[ir.Value], Sequence[ir.Value], Weights], list[ir.Value]]


@dataclass(frozen=True)
class Step:
    """How one kind of layer steps.

    `arrange` makes the arrays from PyTorch's weights of one layer and direction, by role. `products` names, for each
    scanned input, the matrix of the product before the loop and the bias added to it. `nodes` records the step: from
    scanned inputs and states [N, H] to the next states, h first.
    """

    arrange: Callable[[Mapping[str, Array]], Arrays]
    products: Sequence[tuple[str, str]]
    nodes: Nodes


def _arrange_rnn(given: Mapping[str, Array]) -> Arrays:
    found = {"weight_ih": _transposed(given["weight_ih"]), "weight_hh": _transposed(given["weight_hh"])}
    if "bias_ih" in given:
        found["bias"] = given["bias_ih"] + given["bias_hh"]
    return found


def _arrange_lstm(given: Mapping[str, Array]) -> Arrays:
    """Gates i, f, o, g, where PyTorch has i, f, g, o, so that the three sigmoids lie side by side."""
    found = {role: array for role, array in given.items() if role != "weight_hr"}
    found = _arrange_rnn({role: reorder_gates(array, (0, 1, 3, 2)) for role, array in found.items()})
    size = given["weight_hh"].shape[0] // 4
    found["gates"] = np.array([3 * size, size], np.int64)
    if "weight_hr" in given:
        found["weight_hr"] = _transposed(given["weight_hr"])
    return found


def _arrange_gru(given: Mapping[str, Array]) -> Arrays:
    """Gates r and z apart from n, whose recurrent part is multiplied by r before the input's part is added."""
    size = given["weight_hh"].shape[0] // 3
    gates, candidate = slice(2 * size), slice(2 * size, None)
    found = {
        "weight_ih": _transposed(given["weight_ih"][gates]),
        "weight_hh": _transposed(given["weight_hh"][gates]),
        "weight_ih_n": _transposed(given["weight_ih"][candidate]),
        "weight_hh_n": _transposed(given["weight_hh"][candidate]),
    }
    if "bias_ih" in given:
        found["bias"] = given["bias_ih"][gates] + given["bias_hh"][gates]
        found |= {"bias_ih_n": given["bias_ih"][candidate], "bias_hh_n": given["bias_hh"][candidate]}
    return found


def _transposed(matrix: Array) -> Array:
    return np.ascontiguousarray(matrix.T)


def _rnn(activation: str) -> Nodes:
    def nodes(
        tape: ir.tape.Tape, inputs: Sequence[ir.Value], states: Sequence[ir.Value], weights: Weights
    ) -> list[ir.Value]:
        (x,), (h,) = inputs, states
        return [tape.op(activation, [tape.op("Gemm", [h, weights["weight_hh"], x])])]

    return nodes


def _gru(
    tape: ir.tape.Tape, inputs: Sequence[ir.Value], states: Sequence[ir.Value], weights: Weights
) -> list[ir.Value]:
    (x, x_n), (h,) = inputs, states
    gates = tape.op("Sigmoid", [tape.op("Gemm", [h, weights["weight_hh"], x])])
    r, z = tape.op_multi_out("Split", [gates], {"axis": -1, "num_outputs": 2}, num_outputs=2)
    bias = [weights["bias_hh_n"]] if "bias_hh_n" in weights else []
    h_n = tape.op("Gemm", [h, weights["weight_hh_n"], *bias])
    n = tape.op("Tanh", [tape.op("Add", [x_n, tape.op("Mul", [r, h_n])])])
    return [tape.op("Add", [n, tape.op("Mul", [z, tape.op("Sub", [h, n])])])]


def _lstm(
    tape: ir.tape.Tape, inputs: Sequence[ir.Value], states: Sequence[ir.Value], weights: Weights
) -> list[ir.Value]:
    (x,), (h, c) = inputs, states
    gates = tape.op("Gemm", [h, weights["weight_hh"], x])
    sigmoids, g = tape.op_multi_out("Split", [gates, weights["gates"]], {"axis": -1}, num_outputs=2)
    i, f, o = tape.op_multi_out(
        "Split", [tape.op("Sigmoid", [sigmoids])], {"axis": -1, "num_outputs": 3}, num_outputs=3
    )
    c = tape.op("Add", [tape.op("Mul", [f, c]), tape.op("Mul", [i, tape.op("Tanh", [g])])])
    h = tape.op("Mul", [o, tape.op("Tanh", [c])])
    return [tape.op("MatMul", [h, weights["weight_hr"]]) if "weight_hr" in weights else h, c]


_INPUT = [("weight_ih", "bias")]

STEPS: Mapping[str, Step] = {
    "rnn_tanh": Step(_arrange_rnn, _INPUT, _rnn("Tanh")),
    "rnn_relu": Step(_arrange_rnn, _INPUT, _rnn("Relu")),
    "gru": Step(_arrange_gru, [*_INPUT, ("weight_ih_n", "bias_ih_n")], _gru),
    "lstm": Step(_arrange_lstm, _INPUT, _lstm),
}
