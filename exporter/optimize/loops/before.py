"""What depends on elements of the sequences alone is computed in front of the loop, for all steps at once."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from ..places import captured
from .loop import Origin, ScanLoop, stacked_shape
from .rules import Plan, over_time, plan_over_time, rank
from .sizes import PRODUCTS, is_larger

# A row of a matrix is what its product with a one-hot vector would be.
_WIDENS = PRODUCTS | {"Gather"}


def batch_before_loop(loop: ScanLoop) -> None:
    """Move products of elements in front of the loop, and what follows them; the loop then runs over the results."""
    plans = _plans(loop)
    if not plans:
        return
    outside = {value: time_first(loop, k) for k, value in enumerate(loop.elements) if _is_read_by(value, plans)}
    for node, plan in plans.items():
        inputs = [outside.get(value, value) if value is not None else None for value in node.inputs]
        made = over_time(node, plan, inputs, loop.length, loop.main)
        loop.graph.insert_before(loop.node, made)
        outside.update(zip(node.outputs, made[-1].outputs, strict=True))
    _run_over(loop, plans, outside)


def liftable(loop: ScanLoop, origins: Mapping[ir.Value, Origin]) -> dict[ir.Node, Plan]:
    """The nodes that can be computed for all steps in front of the loop, in order, and how."""
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


def _plans(loop: ScanLoop) -> dict[ir.Node, Plan]:
    """Those that are worth it."""
    origins = loop.origins()
    plans = liftable(loop, origins)
    worth: dict[ir.Node, Plan] = {}
    for node, plan in plans.items():
        elements = [value for value in node.inputs if value is not None and origins.get(value, Origin.FIXED).is_element]
        waits = any(value.producer() in plans and value.producer() not in worth for value in elements)
        # What would be read from memory, a step can as well compute in the cache.
        grows = node.op_type not in _WIDENS and is_larger(node.outputs, elements)
        if not waits and not grows:
            worth[node] = plan
    return worth


def is_made_in(body: ir.Graph, value: ir.Value | None) -> bool:
    """Whether a body takes or computes a value, so that it may differ from step to step."""
    producer = None if value is None else value.producer()
    return value in body.inputs or (producer is not None and producer.graph is body)


def _is_read_by(value: ir.Value, nodes: Mapping[ir.Node, Plan]) -> bool:
    return any(node in nodes for node in value.consumers())


def time_first(loop: ScanLoop, k: int) -> ir.Value:
    """A sequence with its time axis in front."""
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


def _run_over(loop: ScanLoop, plans: Mapping[ir.Node, Plan], outside: Mapping[ir.Value, ir.Value]) -> None:
    """Let the loop run over what is left to read in its body."""
    origins = loop.origins()
    old = zip(
        loop.node.inputs[loop.num_states :], loop.elements, loop.origins_of_elements, loop.input_axes, strict=True
    )
    inputs = [*old]
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
