"""Which operators draw random numbers, by their schema and the values they are called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch._ops import OpOverload

# By one of these an operator that may drop elements is told to drop none.
_OFF = ("dropout_p", "dropout")
_TRAINING = ("train", "training")

# Whose probability `p` is that of dropping an element, and not of drawing a one.
_DROPPING = ("aten::native_dropout", "aten::dropout", "aten::alpha_dropout")


def draws(target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of an operator draws random numbers: dropout and recurrent layers do in training alone."""
    if not isinstance(target, OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    defaults = {argument.name: argument.default_value for argument in target._schema.arguments}
    named = {argument.name: value for argument, value in zip(target._schema.arguments, args, strict=False)}
    return may_draw(target._schema.name, {**defaults, **named, **kwargs})


def may_draw(name: str, given: Mapping[str, Any]) -> bool:
    """Whether an operator that can draw random numbers does, given its arguments by name."""
    if any(word in given and not given[word] for word in _TRAINING):
        return False
    off = (*_OFF, "p") if name in _DROPPING else _OFF
    return not any(word in given and given[word] == 0 for word in off)


def drawing_operators() -> frozenset[str]:
    """The names, such as `aten::randn`, of all operators that can draw random numbers."""
    packets = (getattr(torch.ops.aten, name) for name in dir(torch.ops.aten) if not name.startswith("__"))
    return frozenset(
        f"aten::{packet.__name__}"
        for packet in packets
        if hasattr(packet, "overloads")
        and any(torch.Tag.nondeterministic_seeded in getattr(packet, each).tags for each in packet.overloads())
    )


def drawing_nodes(graph: torch.Graph) -> list[tuple[str, str]]:
    """The name of each operator in a TorchScript graph that draws random numbers, and the source that it comes from."""
    names = drawing_operators()
    found = [node for node in graph_nodes(graph) if node.kind() in names and may_draw(node.kind(), _constants(node))]
    return [(node.kind().partition("::")[2], node.sourceRange()) for node in found]


def graph_nodes(graph: Any) -> list[Any]:
    """Every node of a TorchScript graph or block, those of its branches and loops included."""
    return [
        each
        for node in graph.nodes()
        for each in (node, *(inner for block in node.blocks() for inner in graph_nodes(block)))
    ]


def _constants(node: Any) -> dict[str, Any]:
    """The arguments of a node that are constants, by name."""
    schema = torch._C.parse_schema(node.schema())
    inputs = zip(schema.arguments, node.inputs(), strict=False)
    return {a.name: value.toIValue() for a, value in inputs if value.node().kind() == "prim::Constant"}
