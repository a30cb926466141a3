"""Gather: rows by position, windows of a sequence, and single steps."""

from __future__ import annotations

import onnx_ir as ir

from .axes import by_axis
from .edges import last_steps
from .flow import Result, Sequence
from .gathered import gather
from .graph_stream import GraphStream


def look_up(stream: GraphStream, node: ir.Node) -> None:
    """Gather."""
    data, indices = node.inputs
    flow, numbers = stream.flow(data), stream.flow(indices)
    axis = node.attributes.get_int("axis", 0) % stream.measured.arrays(data)[0].ndim
    if not isinstance(flow, Sequence) or flow.axis != axis or flow.is_merged:
        by_axis(stream, node)
    elif isinstance(numbers, Sequence):
        gather(stream, node)
    else:
        _single(stream, node, flow)


def _single(stream: GraphStream, node: ir.Node, flow: Sequence) -> None:
    """One step by its place: the last, or none."""
    value, indices = node.inputs
    assert value is not None
    arrays = stream.measured.arrays(indices)
    lengths = stream.measured.dims(value, flow.axis)
    if any(
        array.size != 1 or int(array.reshape(())) % length != length - 1
        for array, length in zip(arrays, lengths, strict=True)
    ):
        stream.mixed(node, "reads single steps by their place in the whole sequence")
        return
    last = last_steps(stream, node, value, flow, 1)
    if last is None:
        return
    node.replace_input_with(0, last)
    node.replace_input_with(1, stream.memory.constant("last", arrays[0] * 0 - 1))
    stream.settle(node, node.outputs[0], Result())
