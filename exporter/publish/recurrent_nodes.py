"""The recurrent layers of an ONNX file that anyone may have made: sizes, directions, and where their state begins."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onnx

_OPERATORS = ("RNN", "GRU", "LSTM")

# What a node makes of the sizes of its input, and of none of its numbers.
_SIZES = ("Shape", "Size")

# What a name stands for: the node that computes it, an initializer, or an input of the graph.
_Scope = ChainMap[str, onnx.NodeProto | onnx.TensorProto | onnx.ValueInfoProto]


@dataclass(frozen=True)
class RecurrentNode:
    """A node RNN, GRU or LSTM; `input_size` is 0 where the file does not say.

    `begins` names the inputs of the file that its first state is computed from; it is empty where that is constant, and
    None where a branch or a loop gives it.
    """

    operator: str
    input_size: int
    hidden_size: int
    direction: str
    begins: Sequence[str] | None

    def __str__(self) -> str:
        read = f"{self.input_size} to " if self.input_size else ""
        begins = "" if self.begins is None else f", begins with {' and '.join(self.begins)}" if self.begins else ""
        return f"{self.operator} {read}{self.hidden_size}, {self.direction}{begins}"


def recurrent_nodes(graph: onnx.GraphProto) -> list[RecurrentNode]:
    """Those of the graph, and of the branches and bodies in it."""
    return list(_nodes(graph, ChainMap()))


def _nodes(graph: onnx.GraphProto, outer: _Scope) -> Iterator[RecurrentNode]:
    scope: _Scope = outer.new_child({name: node for node in graph.node for name in node.output if name})
    scope |= {value.name: value for value in graph.input}
    scope |= {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _OPERATORS:
            yield _described(node, scope)
        for attribute in node.attribute:
            for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                yield from _nodes(inner, scope)


def _described(node: onnx.NodeProto, scope: _Scope) -> RecurrentNode:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    hidden = attributes["hidden_size"].i if "hidden_size" in attributes else 0
    direction = attributes["direction"].s.decode() if "direction" in attributes else "forward"
    states = [name for name in node.input[5:7] if name]
    return RecurrentNode(node.op_type, _width(node.input[1], scope), hidden, direction, _sources(states, scope))


def _width(weight: str, scope: _Scope) -> int:
    """The last dimension of a weight; 0 where it is computed."""
    held = scope.get(weight)
    if isinstance(held, onnx.NodeProto):
        held = next((attribute.t for attribute in held.attribute if attribute.name == "value"), None)
    return held.dims[-1] if isinstance(held, onnx.TensorProto) and held.dims else 0


def _sources(names: Sequence[str], scope: _Scope) -> list[str] | None:
    """The file's inputs that these are computed from; None where a node with branches is among what computes them."""
    found: list[str] = []
    seen, left = set(names), list(names)
    while left:
        held = scope.get(left.pop())
        if isinstance(held, onnx.ValueInfoProto):
            found.append(held.name)
        elif isinstance(held, onnx.NodeProto) and held.op_type not in _SIZES:
            if any(attribute.HasField("g") for attribute in held.attribute):
                return None
            left += [name for name in held.input if name not in seen]
            seen |= set(held.input)
    return sorted(found)
