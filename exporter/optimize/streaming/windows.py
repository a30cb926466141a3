"""Windows over the time: convolutions, pooling and strides keep the last elements that they read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from .flow import Sequence, Still
from .graph_stream import GraphStream, of_any_length
from .memory import END
from .together import stepwise

_BEYOND = {"MaxPool": -np.inf}


def after_window(flow: Sequence, reach: int, stride: int) -> Sequence:
    """What windows of `reach` elements, `stride` apart, give: as many as lie in the sequence as a whole."""
    return replace(
        flow,
        rate=flow.rate / stride,
        extra=(flow.extra - reach) // stride + 1,
        shift=(flow.shift - reach) // stride + 1,
        steady=False,
        edge=0,
    )


def convolve(stream: GraphStream, node: ir.Node) -> None:
    """Conv, MaxPool and AveragePool."""
    if not isinstance(stream.flow(node.inputs[0]), Sequence):
        stepwise(stream, node, broadcast=False)
        return
    value, flow = stream.sequence(node, 0)
    if flow.axis < 2:
        if flow.axis == 0:
            stepwise(stream, node, broadcast=False)
        else:
            stream.mixed(node, "takes {time} for the channels, so that every step is computed from all")
        return
    weights_move = any(not isinstance(stream.flow(each), Still) for each in node.inputs[1:])
    if flow.is_merged or weights_move or node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        stream.mixed(node)
        return
    reach, stride, left, right = _window(stream, node, flow.axis)
    fill = _BEYOND.get(node.op_type, 0.0)
    if left and node.op_type == "AveragePool" and not node.attributes.get_int("count_include_pad", 0):
        stream.mixed(node, "takes means over fewer steps at the beginning. Pad before it")
        return
    now = stream.filled(node, value, fill) if left else stream.now(value)
    padded = replace(flow, extra=flow.extra + left + right, shift=flow.shift + left)
    found = after_window(padded, reach, stride)
    if _located(stream, node.outputs[0], found) is None:
        stream.mixed(node, "has windows that begin at a step that follows from the number of steps")
        return
    hold = padded.shift - stride * found.shift
    node.replace_input_with(0, held(stream, node, now, value, flow, hold, left, fill))
    _without_pads(node, flow.axis)
    stream.rewire(node)
    stream.settle(node, node.outputs[0], found)


def _located(stream: GraphStream, output: ir.Value, flow: Sequence) -> Sequence | None:
    found = stream.located(output, flow)
    return found if found is not None and found.axis == flow.axis else None


def held(
    stream: GraphStream,
    node: ir.Node,
    now: ir.Value,
    value: ir.Value,
    flow: Sequence,
    hold: int,
    left: int,
    fill: float,
) -> ir.Value:
    """A chunk with the `hold` elements before it; below 0, without its first ones."""
    if hold <= 0:
        return stream.part(node, now, flow.axis, -hold, END)
    if flow.edge == flow.shift > 0 and left == 0:
        return _with_edge(stream, node, now, value, flow, hold)
    return stream.keep(node, now, flow.axis, stream.extent(value, flow, hold, left, fill))


def _with_edge(
    stream: GraphStream, node: ir.Node, now: ir.Value, value: ir.Value, flow: Sequence, hold: int
) -> ir.Value:
    """A chunk with the `hold` elements before it, which are its first one if it is the first chunk."""
    axis, arrays = flow.axis, stream.measured.arrays(value)
    shapes = [(*array.shape[:axis], hold, *array.shape[axis + 1 :]) for array in arrays]
    named = [k for k in range(arrays[0].ndim) if k != axis and stream.is_name(value, k)]
    flags = [np.zeros([size if k in named else 1 for k, size in enumerate(array.shape)], bool) for array in arrays]
    length = stream.add(node, "Shape", [now], {"start": axis, "end": axis + 1})
    begun = stream.part(node, stream.begun(node, flags, axis, length), axis, 0, 1)
    before = stream.memory.state(node, [np.zeros(shape, arrays[0].dtype) for shape in shapes])
    kept = stream.add(node, "Where", [begun, before, stream.part(node, now, axis, 0, 1)])
    joined = stream.add(node, "Concat", [kept, now], {"axis": axis}, like=now)
    after = stream.add(node, "Slice", [joined, *(stream.memory.ints(number) for number in (-hold, END, axis))])
    stream.memory.carry(before, after)
    return of_any_length(joined, axis)


def _window(stream: GraphStream, node: ir.Node, axis: int) -> tuple[int, int, int, int]:
    """Along an axis: how far a window reaches, their distance, and what is padded before and after."""
    spatial = stream.measured.arrays(node.inputs[0])[0].ndim - 2
    k = axis - 2
    kernel = [*(node.attributes.get_ints("kernel_shape", None) or [])]
    if not kernel:
        kernel = [*stream.measured.arrays(node.inputs[1])[0].shape[2:]]
    dilations = [*(node.attributes.get_ints("dilations", None) or [1] * spatial)]
    strides = [*(node.attributes.get_ints("strides", None) or [1] * spatial)]
    pads = [*(node.attributes.get_ints("pads", None) or [0] * 2 * spatial)]
    return (kernel[k] - 1) * dilations[k] + 1, strides[k], pads[k], pads[k + spatial]


def _without_pads(node: ir.Node, axis: int) -> None:
    pads = [*(node.attributes.get_ints("pads", None) or [])]
    if pads:
        pads[axis - 2] = pads[axis - 2 + len(pads) // 2] = 0
        node.attributes["pads"] = ir.AttrInt64s("pads", pads)


def convolve_back(stream: GraphStream, node: ir.Node) -> None:
    """ConvTranspose: what overlaps the next chunk is computed again with it."""
    flow = stream.flow(node.inputs[0])
    if not isinstance(flow, Sequence) or flow.axis == 0:
        stepwise(stream, node, broadcast=False)
        return
    value, axis = node.inputs[0], flow.axis
    assert value is not None
    if axis == 1 or flow.is_merged:
        stream.mixed(node)
        return
    reach, stride, left, right = _window(stream, node, axis)
    more = [*(node.attributes.get_ints("output_padding", None) or [0] * (axis - 1))]
    added = more[axis - 2] if axis - 2 < len(more) else 0
    found = replace(
        flow,
        rate=flow.rate * stride,
        extra=(flow.extra - 1) * stride + reach + added - left - right,
        shift=flow.shift * stride - left,
        steady=False,
        edge=0,
    )
    if _located(stream, node.outputs[0], found) is None:
        stream.mixed(node)
        return
    hold = (reach - 1) // stride
    now = stream.filled(node, value, 0.0)
    node.replace_input_with(0, held(stream, node, now, value, flow, hold, 0, 0.0))
    _without_pads(node, axis)
    if more:
        more[axis - 2] = max(0, stride - reach)
        node.attributes["output_padding"] = ir.AttrInt64s("output_padding", more)
    stream.rewire(node)
    whole = node.outputs[0]
    made = _after(stream, node, whole, axis, hold * stride, min(0, stride - reach))
    of_any_length(whole, axis)
    stream.settle(node, whole, found, made)


def _after(stream: GraphStream, node: ir.Node, value: ir.Value, axis: int, start: int, end: int) -> ir.Value:
    """A slice of a node's output, behind it."""
    ints = stream.memory.ints
    made = ir.node("Slice", [value, ints(start), ints(end or END), ints(axis)])
    made.outputs[0].type, made.outputs[0].shape = value.type, value.shape and ir.Shape([*value.shape])
    graph = node.graph
    assert graph is not None
    graph.insert_after(node, made)
    return made.outputs[0]


def every(stream: GraphStream, node: ir.Node, begun: Sequence, step: int) -> None:
    """Every `step`th element of a sequence."""
    value = node.inputs[0]
    assert value is not None
    found = after_window(begun, 1, step)
    if _located(stream, node.outputs[0], found) is None:
        stream.mixed(node, "takes every so many steps of a sequence that begins with the number of steps")
        return
    first = stream.part(node, stream.now(value), begun.axis, step * found.shift - begun.shift, END)
    ints = stream.memory.ints
    made = stream.add(node, "Slice", [first, ints(0), ints(END), ints(begun.axis), ints(step)], like=node.outputs[0])
    stream.settle(node, node.outputs[0], found, made)


def multiple_of(flows: list[Sequence]) -> int:
    """Of how many steps a chunk has to be a multiple, so that everything in it has a whole number of elements."""
    return int(np.lcm.reduce([flow.rate.denominator for flow in flows] or [1]))
