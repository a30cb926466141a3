"""Concat along the time: what is always the same comes before the first step."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from ..recurrent_states import inputs_behind
from .flow import Sequence, Still
from .graph_stream import GraphStream
from .positions import fit
from .together import joined, own


def concatenate(stream: GraphStream, node: ir.Node) -> None:
    """Concat: along the time, of what is always the same, one sequence, and what comes after its end."""
    output = node.outputs[0]
    axis = node.attributes.get_int("axis") % stream.measured.arrays(output)[0].ndim
    along = [
        k
        for k, value in enumerate(node.inputs)
        if isinstance(flow := stream.flow(value), Sequence) and flow.axis == axis
    ]
    if not along:
        flow = joined(stream, node)
        stream.rewire(node)
        found = stream.located(output, flow) if isinstance(flow, Sequence) else flow
        if found is None:
            stream.mixed(node)
        else:
            stream.settle(node, output, found)
        return
    before = node.inputs[: along[0]]
    if any(inputs_behind(value, stream.model.graph) & stream.declared for value in before):
        stream.settle(node, output, own(stream, node))
        stream.rewire(node)
    elif len(along) > 1 or not all(isinstance(stream.flow(value), Still) for value in before):
        stream.mixed(node, "joins sequences one after the other")
    else:
        _prepend(stream, node, along[0], axis)


def _prepend(stream: GraphStream, node: ir.Node, at: int, axis: int) -> None:
    value, flow = stream.sequence(node, at)
    left = sum(stream.measured.dims(first, axis)[0] for first in node.inputs[:at] if first is not None)
    found = fit(stream, stream.measured.dims(node.outputs[0], axis))
    if flow.is_merged or found is None:
        stream.mixed(node, "joins what has steps and sequences in one dimension")
        return
    made = stream.now(value)
    if left and flow.shift < 0:
        if left > 1:
            stream.mixed(node, "puts several steps before a sequence that is late")
            return
        first = next(each for each in node.inputs[:at] if each is not None)
        made = stream.add(node, "Where", [stream.known(node, value, flow), made, stream.now(first)], like=made)
    shifted = replace(flow, extra=found[1], shift=flow.shift + left, steady=False, edge=0)
    stream.settle(node, node.outputs[0], shifted, made)
