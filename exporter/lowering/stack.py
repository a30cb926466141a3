"""A stack of recurrent layers, read from a node that `translate` made, and its weights: what every lowering needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ..errors import CaptureError

Array = NDArray[np.generic]
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}


@dataclass(frozen=True)
class Layer:
    """One layer: its weights per direction, in PyTorch's order, and names made from its parameters' names."""

    index: int
    prefix: str
    directions: Sequence[Mapping[str, ir.Value]]

    @property
    def name(self) -> str:
        return f"{self.prefix}.l{self.index}"


@dataclass(frozen=True)
class Stack:
    """L layers over x [T, N, I], with the initial states [L*D, N, H] that are given.

    `lengths` int64[N] says how many steps each sequence has, if not all T; x beyond them is not read.
    R = `output_size` is the size of an LSTM's projection, else H.
    """

    kind: str
    x: ir.Value
    lengths: ir.Value | None
    states: Mapping[str, ir.Value]
    layers: Sequence[Layer]
    hidden_size: int
    output_size: int
    bidirectional: bool

    @property
    def dtype(self) -> ir.DataType | None:
        return self.x.dtype

    @property
    def is_projected(self) -> bool:
        return "weight_hr" in self.layers[0].directions[0]

    @property
    def num_directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def prefix(self) -> str:
        """The name of the module that the layers belong to."""
        return self.layers[0].prefix

    @property
    def state_names(self) -> tuple[str, ...]:
        return ("h0", "c0") if self.kind == "lstm" else ("h0",)

    @property
    def final_names(self) -> tuple[str, ...]:
        return ("h_n", "c_n") if self.kind == "lstm" else ("h_n",)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """R of h, and in an LSTM H of c."""
        return (self.output_size, self.hidden_size)[: len(self.state_names)]


def read_stack(node: ir.Node) -> Stack:
    """The stack that a `rnn_export::recurrent` or `rnn_export::lstm` node stands for."""
    kind = node.attributes["kind"].as_string()
    names = node.attributes["given"].as_string().split()
    x, *rest = (value for value in node.inputs if value is not None)
    given = dict(zip(names, rest, strict=False))
    weights = rest[len(names) :]
    bidirectional = bool(node.attributes["bidirectional"].as_int())
    num_layers = node.attributes["num_layers"].as_int()
    num_directions = 2 if bidirectional else 1
    step = len(weights) // (num_layers * num_directions)
    roles = _roles(step, has_bias=bool(node.attributes["has_bias"].as_int()))
    runs = [dict(zip(roles, weights[i : i + step], strict=True)) for i in range(0, len(weights), step)]
    prefix = (weights[0].name or "").rpartition(".")[0] or "rnn"
    layers = [Layer(k, prefix, runs[k * num_directions : (k + 1) * num_directions]) for k in range(num_layers)]
    return Stack(
        kind=kind,
        x=x,
        lengths=given.pop("lengths", None),
        states=given,
        layers=layers,
        hidden_size=_size(weights[1], 0) // GATES[kind],
        output_size=_size(weights[1], 1),
        bidirectional=bidirectional,
    )


def _roles(count: int, *, has_bias: bool) -> list[str]:
    """The names of one layer and direction's weights, in PyTorch's order."""
    roles = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if has_bias else [])]
    return roles if count == len(roles) else [*roles, "weight_hr"]


def _size(weight: ir.Value, axis: int) -> int:
    assert weight.shape is not None
    return int(weight.shape[axis])  # type: ignore[arg-type]


def constant_array(value: ir.Value) -> Array:
    """The elements of a weight.

    Raises:
        CaptureError: it is computed in the model's forward.
    """
    if value.const_value is None:
        raise CaptureError(
            "The model computes a recurrent layer's weights in forward (weight_norm or a parametrization, say). "
            "Fix them first, as torch.nn.utils.parametrize.remove_parametrizations does."
        )
    return value.const_value.numpy()


def reorder_gates(array: Array, order: Sequence[int]) -> Array:
    """The gates [G*H, ...] of a weight in another order."""
    gates = np.split(array, len(order))
    return np.concatenate([gates[gate] for gate in order])


def initializer(tape: ir.tape.Tape, name: str, array: Array) -> ir.Value:
    """An initializer of that name: one with the same content is shared, a name that another has gets a `_`."""
    for value in tape.initializers:
        assert value.const_value is not None
        if value.name == name and np.array_equal(value.const_value.numpy(), array, equal_nan=True):
            return value
    taken = {value.name for value in tape.initializers}
    while name in taken:
        name += "_"
    return tape.initializer(ir.tensor(array, name=name), name=name)
