"""What is computed from states but carried on to no step is computed behind the loop, for all steps at once."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ..places import captured
from .before import is_made_in, time_first
from .loop import Origin, ScanLoop
from .rules import Plan, over_time, plan_over_time, rank
from .sizes import PRODUCTS, is_larger

# A product is worth to be taken out of the loop if what it is computed from has at most so many times its elements: a
# step then writes more than before, but one product over all steps runs at a higher rate than many small ones.
_WIDTH = 64


def batch_after_loop(loop: ScanLoop) -> None:
    """Move what feeds only results of steps, not the next step, behind the loop."""
    for origin in (Origin.FORWARD, Origin.REVERSE):
        plans = _plans(loop, origin)
        if any(node.op_type in PRODUCTS for node in plans):
            _move(loop, plans, origin)


def _plans(loop: ScanLoop, origin: Origin) -> dict[ir.Node, Plan]:
    """The nodes to be moved, in order: all that reads their results is moved too, or is a result of a step."""
    origins = loop.origins()
    steps = {value for value, way in zip(loop.steps, loop.origins_of_steps, strict=True) if way is origin}
    others = {*loop.body.outputs[: loop.num_states], *({*loop.steps} - steps)}
    inner = {value for node in loop.body for value in captured(node)}
    found: dict[ir.Node, Plan] = {}
    for node in reversed(list(loop.body)):
        free = all(
            value not in others and value not in inner and all(reader in found for reader in value.consumers())
            for value in node.outputs
        )
        over = [is_made_in(loop.body, value) for value in node.inputs]
        one_way = all(
            origins.get(value, origin) in (origin, Origin.STATE, Origin.FIXED) for value in node.inputs if value
        )
        plan = plan_over_time(node, over) if free and one_way and any(over) else None
        if plan is not None:
            found[node] = plan
    return _worth(loop, dict(reversed(found.items())))


def _worth(loop: ScanLoop, plans: Mapping[ir.Node, Plan]) -> dict[ir.Node, Plan]:
    """Without those at the beginning for which more would have to be stacked than they give."""
    worth = dict(plans)
    for node in plans:
        first = not any(value is not None and value.producer() in worth for value in node.inputs)
        times = _WIDTH if node.op_type in PRODUCTS else 1
        stacked = [value for value in node.inputs if value is not None and is_made_in(loop.body, value)]
        if first and (node.op_type == "Identity" or is_larger(stacked, node.outputs, times)):
            del worth[node]
    return worth


def _move(loop: ScanLoop, plans: Mapping[ir.Node, Plan], origin: Origin) -> None:
    outside: dict[ir.Value, ir.Value] = {}
    for node in plans:
        for value in node.inputs:
            if value is not None and is_made_in(loop.body, value) and value.producer() not in plans:
                outside.setdefault(value, _stack(loop, value, origin, plans))
    place: ir.Node = loop.node
    moved = [(k, value) for k, value in enumerate(loop.steps) if value.producer() in plans]
    for node, plan in plans.items():
        inputs = [outside.get(value, value) if value is not None else None for value in node.inputs]
        made = over_time(node, plan, inputs, loop.length, loop.main)
        loop.graph.insert_after(place, made)
        place = made[-1]
        outside.update(zip(node.outputs, made[-1].outputs, strict=True))
    for k, value in moved:
        place = _put_in_place(loop, k, outside[value], place)
    loop.drop_steps(k for k, _ in moved)
    loop.body.remove([*plans], safe=True)


def _stack(loop: ScanLoop, value: ir.Value, origin: Origin, moved: Mapping[ir.Node, Plan]) -> ir.Value:
    """A value of the body for all steps, as it lies outside: a sequence, or results of steps, perhaps there already."""
    if value in loop.elements:
        return time_first(loop, [*loop.elements].index(value))
    ways = zip(loop.steps, loop.origins_of_steps, loop.output_axes, strict=True)
    for k, (step, way, axis) in enumerate(ways):
        if _source(step) is _source(value) and way is origin and axis == 0 and step.producer() not in moved:
            return loop.node.outputs[loop.num_states + k]
    return loop.add_step(value, origin)


def _source(value: ir.Value) -> ir.Value:
    """What a copy is a copy of."""
    node = value.producer()
    while node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _put_in_place(loop: ScanLoop, k: int, result: ir.Value, place: ir.Node) -> ir.Node:
    """Let a result that has time in front take the place of the loop's own; returns the last node that it took."""
    old, axis = loop.node.outputs[loop.num_states + k], loop.output_axes[k]
    axis = axis % rank(result)
    if axis:
        order = [*range(1, rank(result))]
        order.insert(axis, 0)
        turn = ir.node("Transpose", [result], {"perm": order})
        turn.outputs[0].type, turn.outputs[0].shape = old.type, old.shape
        loop.graph.insert_after(place, turn)
        place, result = turn, turn.outputs[0]
    result.name, old.name = old.name, result.name
    if old.shape is not None:
        result.shape = old.shape
    ir.convenience.replace_all_uses_with(old, result, replace_graph_outputs=True)
    return place
