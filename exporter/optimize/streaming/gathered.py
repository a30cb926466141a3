"""Windows that are looked up by numbers, as `unfold` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from ..graph import Array
from .flow import Sequence
from .graph_stream import GraphStream
from .windows import after_window, held


def gather(stream: GraphStream, node: ir.Node) -> None:
    """Gather of windows: the element [t, j] of the indices is `stride * t + offset[j]`."""
    value, flow = stream.sequence(node, 0)
    indices = node.inputs[1]
    assert indices is not None
    steps = stream.flow(indices)
    assert isinstance(steps, Sequence)
    numbers = stream.measured.arrays(indices)
    found = _offsets(numbers, steps.axis)
    if flow.is_merged or found is None:
        stream.mixed(node, "looks steps up by numbers that do not go on with the steps")
        return
    offsets, stride = found
    low, reach = int(offsets.min()), int(np.ptp(offsets)) + 1
    begun = replace(flow, shift=flow.shift - low, extra=flow.extra - low)
    after = replace(after_window(begun, reach, stride), axis=flow.axis + steps.axis)
    if after.rate != steps.rate:
        stream.mixed(node)
        return
    after = replace(after, extra=steps.extra)
    hold = begun.shift - stride * after.shift
    joined = held(stream, node, stream.now(value), value, flow, hold, 0, 0.0)
    made = _window_indices(stream, node, after, stride, offsets - low, steps.axis)
    windows = stream.add(node, "Gather", [joined, made], {"axis": flow.axis}, like=node.outputs[0])
    stream.settle(node, node.outputs[0], after, windows)


def _offsets(numbers: list[Array], axis: int) -> tuple[Array, int] | None:
    """The offsets and the stride of indices that go on evenly, the same in each run."""
    first = [np.take(array, 0, axis) for array in numbers]
    gaps = [np.diff(array, axis=axis) for array in numbers]
    even = {int(gap) for array in gaps for gap in array.flat}
    if len(even) != 1 or not all(np.array_equal(each, first[0]) for each in first):
        return None
    stride = even.pop()
    return (first[0], stride) if stride > 0 and first[0].min() >= 0 else None


def _window_indices(
    stream: GraphStream, node: ir.Node, flow: Sequence, stride: int, offsets: Array, axis: int
) -> ir.Value:
    zero, by = (stream.memory.constant(f"number{n}", np.array(n, np.int64)) for n in (0, stride))
    one = stream.memory.constant("number1", np.array(1, np.int64))
    many = stream.add(node, "Squeeze", [stream.steps(node, flow), stream.memory.ints(0)])
    begins = stream.add(node, "Range", [zero, many, one])
    begins = stream.add(node, "Mul", [begins, by]) if stride != 1 else begins
    around = [k for k in range(offsets.ndim + 1) if k != axis]
    if around:
        begins = stream.add(node, "Unsqueeze", [begins, stream.memory.ints(*around)])
    constant = stream.memory.constant("offsets", np.expand_dims(offsets.astype(np.int64), axis))
    return stream.add(node, "Add", [begins, constant])
