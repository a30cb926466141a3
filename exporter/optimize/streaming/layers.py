"""Recurrent layers: one over time begins after the prefix of its sequence, and waits for a sequence that is late."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from ..graph import Array, captured
from ..recurrent_states import WITH_STATE
from .flow import Flow, Mixed, Paired, Result, Sequence
from .graph_stream import GraphStream, of_any_length
from .measure import measure_values
from .memory import END
from .together import joined


def sequence_inputs(node: ir.Node) -> list[tuple[int, int]]:
    """The inputs that a recurrent node runs over: their positions, and the axis of each."""
    if place := WITH_STATE.get(node.op_type):
        given = [k for k in place.sequences if k < len(node.inputs) and node.inputs[k] is not None]
        return [(k, place.time_axis) for k in given]
    if node.op_type != "Scan":
        return [(0, 0)]
    many = node.attributes["num_scan_inputs"].as_int()
    axes = [*(node.attributes.get_ints("scan_input_axes", None) or [0] * many)]
    return [*zip(range(len(node.inputs) - many, len(node.inputs)), axes, strict=True)]


def recur(stream: GraphStream, node: ir.Node) -> None:
    """RNN, GRU, LSTM, Scan and operators with a state of their own."""
    mixed = next((flow for value in node.inputs if isinstance(flow := stream.flow(value), Mixed)), None)
    if mixed is not None:
        for output in node.outputs:
            stream.flows[output] = mixed
        return
    over = [stream.sequence_of(node.inputs[k]) for k, _ in sequence_inputs(node)]
    along = [
        flow is not None and flow.axis == axis for flow, (_, axis) in zip(over, sequence_inputs(node), strict=True)
    ]
    if not any(along):
        within(stream, node)
    elif not all(along) or any(flow is not None and flow.is_merged for flow in over):
        stream.mixed(node)
    else:
        _over_time(stream, node)


def within(stream: GraphStream, node: ir.Node) -> None:
    """A layer within each step, a loop or a branch; what its body reads from around has to be as it was."""
    around = [stream.flow(value) for value in captured(node) if value is not None]
    mixed = next((flow for flow in around if isinstance(flow, Mixed | Paired)), None)
    if isinstance(mixed, Paired):
        stream.mixed(node, "reads a table of every step by every other")
        return
    if mixed is not None:
        for output in node.outputs:
            stream.flows[output] = mixed
        return
    if any(isinstance(flow, Sequence) and (flow.shift or flow.extra) for flow in around):
        stream.mixed(node)
        return
    flow = joined(stream, node, broadcast=False)
    inside = next((flow for flow in around if isinstance(flow, Sequence)), None)
    stream.rewire(node)
    like = flow if isinstance(flow, Sequence) else inside
    for output in node.outputs:
        varies = bool(stream.measured.arrays(output)) and stream.measured.varying_axes(output)
        located = stream.located(output, like) if varies and like is not None else None
        if varies and located is None and not isinstance(flow, Mixed):
            stream.mixed(node)
            return
        stream.settle(
            node, output, flow if isinstance(flow, Mixed) else located or (flow if like is None else Result())
        )


def _over_time(stream: GraphStream, node: ir.Node) -> None:
    if any(isinstance(stream.flow(value), Sequence) for value in captured(node)):
        stream.mixed(node, "reads the whole sequence in every step")
        return
    finals = _finals(node)
    places = [k for k, _ in sequence_inputs(node)]
    flows = [stream.sequence(node, k)[1] for k in places]
    shift = min(flow.shift for flow in flows)
    if any(output.uses() or output.is_graph_output() for output in finals):
        shift = min(shift, flows[0].extra)
    if any((flow.rate, flow.extra) != (flows[0].rate, flows[0].extra) for flow in flows):
        stream.mixed(node)
        return
    if shift > 0:
        stream.resets[node] = _after_prefix(stream, node, shift)
    for k in places:
        value = node.inputs[k]
        assert value is not None
        node.replace_input_with(k, stream.delayed(node, value, shift))
    stream.rewire(node)
    whole = replace(flows[0], shift=shift, steady=False, edge=0)
    made = _wait(stream, node, whole) if shift < 0 else {}
    for output in node.outputs:
        found: Flow | None = stream.located(output, whole) if output not in finals else Result()
        if output in finals and shift < whole.extra:
            found = Mixed(f"the last state of '{node.name}' depends on steps that are still to come")
        if found is None:
            stream.mixed(node)
            return
        stream.settle(node, output, found, made.get(output))


def _finals(node: ir.Node) -> list[ir.Value]:
    """The outputs that are last states."""
    if node.op_type != "Scan":
        return [*node.outputs[1:]]
    return [*node.outputs[: len(node.inputs) - node.attributes["num_scan_inputs"].as_int()]]


def _after_prefix(stream: GraphStream, node: ir.Node, many: int) -> list[list[Array]]:
    """The layer's states after the first `many` elements of its sequence, in each run."""
    graph = stream.original.graph.clone()
    same = next(each for each in graph if each.name == node.name)
    for k, axis in sequence_inputs(same):
        value = same.inputs[k]
        bounds = [
            ir.node("Constant", [], {"value": ir.tensor(np.array([number], np.int64))}) for number in (0, many, axis)
        ]
        part = ir.node("Slice", [value, *(bound.outputs[0] for bound in bounds)])
        graph.insert_before(same, [*bounds, part])
        same.replace_input_with(k, part.outputs[0])
    if same.op_type != "Scan" and len(same.outputs) < 2 + (same.op_type == "LSTM"):
        same.resize_outputs(2 + (same.op_type == "LSTM"))
    finals = _finals(same)
    for k, final in enumerate(finals):
        final.name = f"after_prefix.{k}"
    model = ir.Model(graph, ir_version=stream.original.ir_version)
    return measure_values(model, stream.signature, stream.measured.sizes, [str(final.name) for final in finals])


def _wait(stream: GraphStream, node: ir.Node, flow: Sequence) -> dict[ir.Value, ir.Value]:
    """Let a layer begin with the first element of a sequence that is late; until then its state stays.

    Of a chunk that has none yet the last step is run, for ONNX Runtime's layers run over at least one.
    """
    memory, ints, late = stream.memory, stream.memory.ints, -flow.shift
    before = memory.state(node, [np.zeros(late, bool)] * len(stream.measured.runs), "known")
    many = stream.steps(node, flow)
    true = memory.constant("true", np.array(True))
    known = stream.add(node, "Concat", [before, stream.add(node, "Expand", [true, many])], {"axis": 0})
    memory.carry(before, stream.part(node, known, 0, -late, END))
    there = stream.add(node, "Cast", [stream.part(node, known, 0, 0, -late)], {"to": int(ir.DataType.INT64)})
    gone = stream.add(node, "Sub", [many, stream.add(node, "ReduceSum", [there], {"keepdims": 1})])
    start = stream.add(node, "Min", [gone, stream.add(node, "Sub", [many, ints(1)])])
    for k, axis in sequence_inputs(node):
        value = node.inputs[k]
        part = stream.add(node, "Slice", [value, start, ints(END), ints(axis)])
        part.type = None if value is None else value.type
        node.replace_input_with(k, part)
    stream.waiting[node] = stream.add(node, "Equal", [gone, many])
    made = {}
    graph = node.graph
    assert graph is not None
    for output in node.outputs:
        found = stream.located(output, flow) if output not in _finals(node) else None
        if found is not None:
            rank = stream.measured.arrays(output)[0].ndim
            zeros = [ints(*([0] * found.axis))] if found.axis else []
            pads = ir.node("Concat", [*zeros, start, ints(*([0] * (2 * rank - 1 - found.axis)))], {"axis": 0})
            pad = ir.node("Pad", [output, pads.outputs[0]])
            pad.outputs[0].type, pad.outputs[0].shape = output.type, output.shape
            graph.insert_after(node, [pads, pad])
            made[output] = pad.outputs[0]
            of_any_length(output, found.axis)
    return made
