"""Pad and Slice along the time: mostly another way to count the same elements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from .flow import Result, Sequence, Still
from .graph_stream import GraphStream
from .memory import END
from .positions import fit, rows_of_table
from .together import stepwise
from .windows import every


def pad(stream: GraphStream, node: ir.Node) -> None:
    flow = stream.flow(node.inputs[0])
    if not isinstance(flow, Sequence):
        stepwise(stream, node)
        return
    value, output = node.inputs[0], node.outputs[0]
    assert value is not None
    amounts = _pads(stream, node)
    if amounts is None:
        stream.mixed(node, "pads by a number that follows from the number of steps")
        return
    left, right = amounts.pop(flow.axis, (0, 0))
    mode = node.attributes.get_string("mode", "constant")
    repeats = mode == "edge" and flow.shift == 0 and not amounts
    if left > 0 and mode != "constant" and not repeats:
        stream.mixed(node, "pads the beginning with later steps. Pad with a constant or the first step")
        return
    fill = 0.0
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        fill = float(stream.measured.arrays(node.inputs[2])[0])
    made = stream.filled(node, value, fill) if left > 0 else stream.now(value)
    if amounts:
        made = _pad_others(stream, node, made, amounts)
    extra = flow.extra + left + right
    shift = flow.shift + left
    edge = left if repeats else 0
    stream.settle(node, output, replace(flow, extra=extra, shift=shift, steady=False, edge=edge), made)


def _pads(stream: GraphStream, node: ir.Node) -> dict[int, tuple[int, int]] | None:
    """What is added before and after each axis; None if it follows from the number of steps."""
    arrays = stream.measured.arrays(node.inputs[1])
    if not all(np.array_equal(array, arrays[0]) for array in arrays):
        return None
    rank = stream.measured.arrays(node.inputs[0])[0].ndim
    axes = [*range(rank)]
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = [int(axis) % rank for axis in stream.measured.arrays(node.inputs[3])[0]]
    many = len(axes)
    amounts = {axis: (int(arrays[0][k]), int(arrays[0][many + k])) for k, axis in enumerate(axes)}
    return {axis: ends for axis, ends in amounts.items() if ends != (0, 0)}


def _pad_others(stream: GraphStream, node: ir.Node, value: ir.Value, amounts: dict[int, tuple[int, int]]) -> ir.Value:
    rank = stream.measured.arrays(node.inputs[0])[0].ndim
    ends = [amounts.get(axis, (0, 0)) for axis in range(rank)]
    node.replace_input_with(0, value)
    node.replace_input_with(1, stream.memory.ints(*(first for first, _ in ends), *(last for _, last in ends)))
    if len(node.inputs) > 3:
        node.resize_inputs(3)
    return node.outputs[0]


def cut(stream: GraphStream, node: ir.Node) -> None:
    """Slice."""
    flow, output = stream.flow(node.inputs[0]), node.outputs[0]
    bounds = _bounds(stream, node)
    if isinstance(flow, Sequence) and flow.axis in bounds:
        _cut_sequence(stream, node, flow, bounds)
        return
    axes = stream.measured.varying_axes(output)
    if isinstance(flow, Still) and len(axes) == 1 and len(bounds) == 1 and axes[0] in bounds:
        starts, steps = bounds[axes[0]]
        if len({*starts}) == 1 and steps == 1:
            rows_of_table(stream, node, axes[0], starts[0])
            return
    if isinstance(flow, Sequence):
        found = stream.located(output, flow)
        if found is not None:
            stream.rewire(node)
            stream.settle(node, output, found)
            return
        stream.mixed(node)
        return
    stepwise(stream, node)


def _bounds(stream: GraphStream, node: ir.Node) -> dict[int, tuple[list[int], int]]:
    """By axis, where a slice starts in each run, counted from the first element, and its step."""
    shapes = [array.shape for array in stream.measured.arrays(node.inputs[0])]
    starts = stream.measured.arrays(node.inputs[1])
    axes = [*range(len(starts[0]))]
    if len(node.inputs) > 3 and node.inputs[3] is not None:
        axes = [int(axis) % len(shapes[0]) for axis in stream.measured.arrays(node.inputs[3])[0]]
    steps = [1] * len(axes)
    if len(node.inputs) > 4 and node.inputs[4] is not None:
        steps = [int(step) for step in stream.measured.arrays(node.inputs[4])[0]]
    return {
        axis: (
            [_start(int(run[k]), shape[axis]) for run, shape in zip(starts, shapes, strict=True)],
            steps[k],
        )
        for k, axis in enumerate(axes)
    }


def _start(start: int, length: int) -> int:
    return min(max(start + length, 0), length) if start < 0 else min(start, length)


def _cut_sequence(stream: GraphStream, node: ir.Node, flow: Sequence, bounds: dict[int, tuple[list[int], int]]) -> None:
    value, output = node.inputs[0], node.outputs[0]
    assert value is not None
    starts, step = bounds[flow.axis]
    if len(bounds) > 1:
        stream.mixed(node, "cuts the steps and another dimension at once")
        return
    if step < 0:
        stream.mixed(node, "turns the sequence round")
        return
    lengths = stream.measured.dims(output, flow.axis)
    if flow.is_merged:
        stream.mixed(node, "cuts a dimension of steps and sequences")
    elif not stream.measured.varies(lengths):
        _cut_piece(stream, node, flow, starts, lengths[0])
    elif len({*starts}) > 1 or fit(stream, lengths) is None:
        stream.mixed(node, "starts at a step that follows from the number of steps")
    else:
        edge = max(0, flow.edge - starts[0])
        begun = replace(flow, shift=flow.shift - starts[0], extra=flow.extra - starts[0], edge=edge)
        if step > 1:
            every(stream, node, begun, step)
            return
        found = fit(stream, lengths)
        assert found is not None
        stream.settle(node, output, replace(begun, extra=found[1]), stream.now(value))


def _cut_piece(stream: GraphStream, node: ir.Node, flow: Sequence, starts: list[int], many: int) -> None:
    """So many steps from the end; those from the beginning are not there any more."""
    value, output = node.inputs[0], node.outputs[0]
    assert value is not None
    lengths = stream.measured.dims(value, flow.axis)
    if any(start + many != length for start, length in zip(starts, lengths, strict=True)):
        stream.mixed(node, "reads single steps by their place in the whole sequence")
        return
    last = last_steps(stream, node, value, flow, many)
    if last is not None:
        stream.settle(node, output, Result(), last)


def last_steps(stream: GraphStream, node: ir.Node, value: ir.Value, flow: Sequence, many: int) -> ir.Value | None:
    """The last elements up to here; None, and said why, where they follow from later steps."""
    if flow.shift < flow.extra:
        stream.mixed(node, "reads the last step, which depends on what the sequence is padded with at its end")
        return None
    now = stream.delayed(node, value, flow.extra)
    if many > 1:
        late = replace(flow, shift=flow.extra)
        now = stream.keep(node, now, flow.axis, stream.extent(value, late, many - 1))
    return stream.part(node, now, flow.axis, -many, END)
