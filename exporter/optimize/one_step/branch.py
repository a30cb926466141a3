"""The graph of one time step: each `Scan` over time is its body, and the time axis is left out where it can be."""

from __future__ import annotations

import onnx_ir as ir

from ..loops.scan_loop import ScanLoop
from .products import write_products
from .rules import without_time
from .softplus import drop_thresholds
from .without_time import WithoutTime


def runs_over_time(node: ir.Node, main: ir.Graph, time: str) -> bool:
    """Whether a node is a `Scan` over sequences that are all as long as the chunk."""
    if node.op_type != "Scan" or node.domain != "":
        return False
    loop = ScanLoop(node, main)
    sequences = [*zip(node.inputs[loop.num_states :], loop.input_axes, strict=True)]
    return bool(sequences) and all(
        value is not None and value.shape is not None and value.shape[axis] == time for value, axis in sequences
    )


def make_one_step(branch: ir.Graph, main: ir.Graph, time: str, prefix: str) -> None:
    """Rewrite a copy of the whole graph, in place; constants go to `main`, under names that begin with `prefix`."""
    values = WithoutTime(main, time, prefix)
    for node in list(branch):
        if runs_over_time(node, main, time):
            _inline(ScanLoop(node, main), values)
            branch.remove(node, safe=True)
        else:
            without_time(node, values)
            branch.insert_before(node, values.take())
    write_products(branch, values)
    drop_thresholds(branch)
    for place, value in enumerate(branch.outputs):
        producer = value.producer()
        if producer is None or producer.graph is not branch or value in branch.outputs[:place]:
            branch.outputs[place] = _copy(branch, value)


def _inline(loop: ScanLoop, values: WithoutTime) -> None:
    """Put the body in the place of the loop."""
    node, body, states, graph = loop.node, loop.body, loop.num_states, loop.graph
    elements = [values.of(value, axis) for value, axis in zip(node.inputs[states:], loop.input_axes, strict=True)]
    graph.insert_before(node, values.take())
    for inner, value in zip(body.inputs, [*node.inputs[:states], *elements], strict=True):
        assert value is not None
        ir.convenience.replace_all_uses_with(inner, value, replace_graph_outputs=True)
    inside, ends, axes = list(body), list(body.outputs), loop.output_axes
    body.outputs.clear()
    body.remove(inside)
    for each in inside:
        each.name = f"{node.name}.{each.name}"
    graph.insert_before(node, inside)
    rows = [
        values.with_time(end, old, axis)
        for end, old, axis in zip(ends[states:], node.outputs[states:], axes, strict=True)
    ]
    graph.insert_before(node, values.take())
    for old, new in zip(node.outputs, [*ends[:states], *rows], strict=True):
        new.type, new.shape = new.type or old.type, new.shape or old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)


def _copy(branch: ir.Graph, value: ir.Value) -> ir.Value:
    """A branch returns only what it computes, and each value once."""
    node = ir.node("Identity", [value])
    copy = node.outputs[0]
    copy.type, copy.shape = value.type, value.shape
    branch.append(node)
    return copy
