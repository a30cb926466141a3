"""Batch nodes of a loop's body over time: compute them for all steps at once, before the loop or after it.

What depends only on elements of the sequences moves before the loop, which then runs over the results. What is computed
from states but read by no later step moves after the loop, which then stacks its inputs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Set

import onnx_ir as ir

from ..graph import captured, node_like, rank
from .rules import Plan, batched_nodes, plan_over_time
from .scan_loop import Origin, ScanLoop, is_made_in, stacked_shape

# Operators that do much more work than they read and write.
_PRODUCTS = {"MatMul", "Gemm"}

# A row of a matrix is what its product with a one-hot vector would be.
_WIDENS = _PRODUCTS | {"Gather"}

# A product leaves the loop if what it is computed from has at most so many times its elements: a step then writes more
# than before, but one product over all steps runs at a higher rate than many small ones.
_WIDTH = 64


def batch_before_loop(loop: ScanLoop) -> None:
    """Move products of elements, and what is computed from them, before the loop."""
    plans = _plans_before(loop)
    if not plans:
        return
    outside = {
        value: _time_first(loop, k)
        for k, value in enumerate(loop.elements)
        if any(node in plans for node in value.consumers())
    }
    _batch(loop, plans, outside)
    _run_over(loop, plans, outside)


def batch_all(loop: ScanLoop) -> None:
    """Compute for all steps at once what a loop without states computes; what has no rule for that stays in it."""
    plans = _movable_before(loop, loop.origins())
    outside = {value: _time_first(loop, k) for k, value in enumerate(loop.elements)}
    _batch(loop, plans, outside)
    _run_over(loop, plans, outside)
    elements = [*loop.elements]
    done = [k for k, step in enumerate(loop.steps) if _source(step) in elements]
    for k in done:
        result = _time_first(loop, elements.index(_source(loop.steps[k])))
        if result.producer() is None:  # an input of the graph keeps its name
            copy = node_like("Identity", [result], result, f"{result.name}.copy")
            loop.graph.insert_before(loop.node, copy)
            result = copy.outputs[0]
        _replace_output(loop, k, result, loop.node)
    loop.drop_steps(done)
    if not loop.node.outputs:
        loop.graph.remove(loop.node, safe=True)


def _batch(loop: ScanLoop, plans: Mapping[ir.Node, Plan], outside: dict[ir.Value, ir.Value]) -> None:
    """Write nodes for all steps before the loop, given what is outside of it; their results are then outside too."""
    for node, plan in plans.items():
        inputs = [outside.get(value, value) if value is not None else None for value in node.inputs]
        made = batched_nodes(node, plan, inputs, loop.length, loop.main)
        loop.graph.insert_before(loop.node, made)
        outside.update(zip(node.outputs, made[-1].outputs, strict=True))


def _plans_before(loop: ScanLoop) -> dict[ir.Node, Plan]:
    """The nodes that are worth moving before the loop, in order, and how each is batched."""
    origins = loop.origins()
    plans = _movable_before(loop, origins)
    worth: dict[ir.Node, Plan] = {}
    for node, plan in plans.items():
        elements = [value for value in node.inputs if value and origins.get(value, Origin.INVARIANT).is_element]
        waits = any(value.producer() in plans and value.producer() not in worth for value in elements)
        # A step computes in the cache what it would otherwise read from memory.
        grows = not _gains(loop, node, _WIDENS) and _is_larger(node.outputs, elements)
        if not waits and not grows:
            worth[node] = plan
    return worth


def _gains(loop: ScanLoop, node: ir.Node, kinds: Set[str]) -> bool:
    """Whether a node is of these kinds and has the same matrix in all steps: two that change stay small products."""
    return node.op_type in kinds and not all(is_made_in(loop.body, value) for value in node.inputs[:2])


def _movable_before(loop: ScanLoop, origins: Mapping[ir.Value, Origin]) -> dict[ir.Node, Plan]:
    """The nodes that can be computed from nothing but elements, in order."""
    plans: dict[ir.Node, Plan] = {}
    outside = {value for value in loop.elements if value.shape is not None}
    for node in loop.body:
        over = [is_made_in(loop.body, value) for value in node.inputs]
        ready = all(value in outside for value, inside in zip(node.inputs, over, strict=True) if inside)
        plan = plan_over_time(node, over) if ready and node.outputs and origins[node.outputs[0]].is_element else None
        if plan is not None:
            plans[node] = plan
            outside.update(node.outputs)
    return plans


def _run_over(loop: ScanLoop, plans: Mapping[ir.Node, Plan], outside: Mapping[ir.Value, ir.Value]) -> None:
    """Let the loop run over the batched results that its body still reads."""
    origins = loop.origins()
    sequences = loop.node.inputs[loop.num_states :]
    inputs = [*zip(sequences, loop.elements, loop.origins_of_elements, loop.input_axes, strict=True)]
    for node in plans:
        for value in node.outputs:
            if _is_still_read(loop, value, plans):
                element = ir.Value(name=f"{value.name}.element", type=value.type, shape=value.shape)
                ir.convenience.replace_all_uses_with(value, element, replace_graph_outputs=True)
                for i, output in enumerate(loop.body.outputs):
                    if output is element:
                        loop.body.outputs[i] = loop.copy(element, "copy")
                inputs.append((outside[value], element, origins[value], 0))
    loop.body.remove([*plans], safe=True)
    loop.set_inputs(inputs)


def _is_still_read(loop: ScanLoop, value: ir.Value, plans: Mapping[ir.Node, Plan]) -> bool:
    own = any(node not in plans for node in value.consumers())
    return own or value in loop.body.outputs or any(value in captured(node) for node in loop.body)


def batch_after_loop(loop: ScanLoop) -> None:
    """Move what feeds only step outputs, not the next step, after the loop, where a product is among it."""
    for origin in (Origin.FORWARD, Origin.REVERSE):
        plans = _plans_after(loop, origin)
        if any(_gains(loop, node, _PRODUCTS) for node in plans):
            _move_after(loop, plans, origin)


def _plans_after(loop: ScanLoop, origin: Origin) -> dict[ir.Node, Plan]:
    """The nodes that are worth moving after the loop, in order: each reader of their results is moved too."""
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
            origins.get(value, origin) in (origin, Origin.STATE, Origin.INVARIANT) for value in node.inputs if value
        )
        plan = plan_over_time(node, over) if free and one_way and any(over) else None
        if plan is not None:
            found[node] = plan
    return _worth_after(loop, dict(reversed(found.items())))


def _worth_after(loop: ScanLoop, plans: Mapping[ir.Node, Plan]) -> dict[ir.Node, Plan]:
    """Leave out nodes for which the loop would stack more than they compute, and what they are computed from."""
    worth = dict(plans)
    for node in plans:
        times = _WIDTH if _gains(loop, node, _PRODUCTS) else 1
        made = [value for value in node.inputs if value is not None and is_made_in(loop.body, value)]
        stacked = [value for value in made if value.producer() not in worth]
        first = len(stacked) == len(made)
        if (first and node.op_type == "Identity") or _is_larger(stacked, node.outputs, times):
            _leave_out(node, worth)
    return worth


def _leave_out(node: ir.Node, worth: dict[ir.Node, Plan]) -> None:
    """Leave out a node, and so what it reads: what moves is read by nothing that stays."""
    if worth.pop(node, None) is not None:
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None:
                _leave_out(producer, worth)


def _move_after(loop: ScanLoop, plans: Mapping[ir.Node, Plan], origin: Origin) -> None:
    outside: dict[ir.Value, ir.Value] = {}
    for node in plans:
        for value in node.inputs:
            if value is not None and is_made_in(loop.body, value) and value.producer() not in plans:
                outside.setdefault(value, _stack(loop, value, origin, plans))
    place: ir.Node = loop.node
    moved = [(k, value) for k, value in enumerate(loop.steps) if value.producer() in plans]
    for node, plan in plans.items():
        inputs = [outside.get(value, value) if value is not None else None for value in node.inputs]
        made = batched_nodes(node, plan, inputs, loop.length, loop.main)
        loop.graph.insert_after(place, made)
        place = made[-1]
        outside.update(zip(node.outputs, made[-1].outputs, strict=True))
    for k, value in moved:
        place = _replace_output(loop, k, outside[value], place)
    loop.drop_steps(k for k, _ in moved)
    loop.body.remove([*plans], safe=True)


def _stack(loop: ScanLoop, value: ir.Value, origin: Origin, moved: Mapping[ir.Node, Plan]) -> ir.Value:
    """A value of the body for all steps: a sequence, a step output that is there already, or a new one."""
    if value in loop.elements:
        return _time_first(loop, [*loop.elements].index(value))
    ways = zip(loop.steps, loop.origins_of_steps, loop.output_axes, strict=True)
    for k, (step, way, axis) in enumerate(ways):
        if _source(step) is _source(value) and way is origin and axis == 0 and step.producer() not in moved:
            return loop.node.outputs[loop.num_states + k]
    return loop.add_step(value, origin)


def _source(value: ir.Value) -> ir.Value:
    """The value that a copy is a copy of."""
    node = value.producer()
    while node is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _replace_output(loop: ScanLoop, k: int, result: ir.Value, place: ir.Node) -> ir.Node:
    """Put a batched result in the place of the loop's own, time on its axis; returns the last node inserted."""
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


def _time_first(loop: ScanLoop, k: int) -> ir.Value:
    """The k-th sequence with its time axis in front."""
    outer, axis = loop.node.inputs[loop.num_states + k], loop.input_axes[k]
    assert outer is not None
    full = rank(loop.elements[k]) + 1
    axis = axis % full
    if axis == 0:
        return outer
    order = [axis, *(i for i in range(full) if i != axis)]
    node = ir.node("Transpose", [outer], {"perm": order})
    turned = node.outputs[0]
    turned.name, turned.type = f"{outer.name}.by_time", outer.type
    turned.shape = stacked_shape(loop.elements[k], loop.length)
    loop.graph.insert_before(loop.node, node)
    return turned


def _is_larger(values: Iterable[ir.Value], others: Iterable[ir.Value], times: float = 1) -> bool:
    """Whether values have more than `times` as many elements together as the others, or may have."""
    number, names = 0.0, Counter[str]()
    for count, given in map(_size, values):
        number, names = number + count, names | given
    # A value with fewer dynamic dimensions is small beside one with more.
    return number > times * sum(count for count, given in map(_size, others) if names <= given)


def _size(value: ir.Value) -> tuple[float, Counter[str]]:
    """The product of the known dimensions, and the names of the others."""
    if value.shape is None:
        return math.inf, Counter()
    known = [dim for dim in value.shape if isinstance(dim, int)]
    return math.prod(known), Counter(str(dim) for dim in value.shape if not isinstance(dim, int))
