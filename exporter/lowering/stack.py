"""A stack of recurrent layers, read from a node that `translate` made: what every lowering starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from ..capture.operators import DOMAIN


@dataclass(frozen=True)
class Layer:
    """One layer: its weights per direction, in PyTorch's order, and names made from its parameters' names."""

    index: int
    prefix: str
    directions: Sequence[Sequence[ir.Value]]

    @property
    def name(self) -> str:
        return f"{self.prefix}.l{self.index}"


@dataclass(frozen=True)
class Stack:
    """L layers over x [T, N, I], with those initial states [L*D, N, H] that are given."""

    kind: str
    x: ir.Value
    states: Mapping[str, ir.Value]
    layers: Sequence[Layer]
    hidden_size: int
    bidirectional: bool

    @property
    def dtype(self) -> ir.DataType | None:
        return self.x.dtype

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


def is_stack(node: ir.Node) -> bool:
    return node.domain == DOMAIN


def read_stack(node: ir.Node) -> Stack:
    """The stack that a `rnn_export::recurrent` or `rnn_export::lstm` node stands for."""
    given = node.attributes["given"].as_string().split()
    x, *rest = (value for value in node.inputs if value is not None)
    weights = rest[len(given) :]
    bidirectional = bool(node.attributes["bidirectional"].as_int())
    num_layers = node.attributes["num_layers"].as_int()
    num_directions = 2 if bidirectional else 1
    step = len(weights) // (num_layers * num_directions)
    runs = [weights[i : i + step] for i in range(0, len(weights), step)]
    prefix = (weights[0].name or "").rpartition(".")[0] or "rnn"
    layers = [Layer(k, prefix, runs[k * num_directions : (k + 1) * num_directions]) for k in range(num_layers)]
    assert weights[1].shape is not None
    return Stack(
        kind=node.attributes["kind"].as_string(),
        x=x,
        states=dict(zip(given, rest, strict=False)),
        layers=layers,
        hidden_size=int(weights[1].shape[1]),  # type: ignore[arg-type]
        bidirectional=bidirectional,
    )
