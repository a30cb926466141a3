"""What a loop of TorchScript counts, and what it carries from step to step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...torch_internals.script_code import Node, Value
from .aliases import Aliases

# How often a `while` may run.
_MOST = 2**63 - 1


@dataclass(frozen=True)
class Carried:
    """A loop-carried value: before the loop, at the begin and the end of a step, and after it."""

    initial: Value
    begin: Value
    end: Value
    after: Value


@dataclass(frozen=True)
class CountedLoop:
    """The arguments of `range`, a name for the step, and the values within a step that are it."""

    range: Sequence[Value]
    name: str
    steps: Sequence[Value]


def carried_values(node: Node, aliases: Aliases) -> list[Carried]:
    """What a loop carries and changes; a list that it fills is the same list throughout."""
    body = node.blocks[0]
    parts = zip(node.inputs[2:], body.parameters[1:], body.returns[1:], node.outputs, strict=True)
    return [Carried(*part) for part in parts if part[-1].key not in aliases.same]


def counted(node: Node, nodes: Mapping[int, Node]) -> CountedLoop | None:
    """How a loop counts; None for a `while`. `range(a, b, c)` is a number of steps and a sum in each."""
    step, trips = node.blocks[0].parameters[0], nodes.get(node.inputs[0].key)
    if trips is not None and trips.kind == "prim::Constant" and trips.constant == _MOST:
        return None
    using = [each for each in node.blocks[0].nodes if step in each.inputs]
    if trips is not None and trips.kind == "aten::__range_length" and _all_derived(node, step, using, trips):
        name = using[0].outputs[0].name if using else step.name
        return CountedLoop(trips.inputs, name, [each.outputs[0] for each in using])
    return CountedLoop([node.inputs[0]], step.name, [])


def _all_derived(node: Node, step: Value, using: Sequence[Node], trips: Node) -> bool:
    """Whether all that a body does with its step is to compute the element of the range from it."""
    start, _, stride = trips.inputs
    derived = all(
        each.kind == "aten::__derive_index" and [value.key for value in each.inputs[1:]] == [start.key, stride.key]
        for each in using
    )
    return derived and not _is_used_within(node, step)


def _is_used_within(node: Node, step: Value) -> bool:
    body = node.blocks[0]
    inner = [block for each in body.nodes for block in each.blocks]
    return step in body.returns or any(_uses(block.nodes, step) or step in block.returns for block in inner)


def _uses(nodes: Sequence[Node], value: Value) -> bool:
    return any(
        value in node.inputs or any(_uses(block.nodes, value) or value in block.returns for block in node.blocks)
        for node in nodes
    )
