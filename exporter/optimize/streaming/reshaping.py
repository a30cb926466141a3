"""Reshape, Expand and ConstantOfShape: the number of steps in a shape becomes that of a chunk."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import onnx_ir as ir

from .flow import Mixed, Sequence, Sized, Still
from .graph_stream import GraphStream
from .positions import fit
from .together import stepwise


def reshape(stream: GraphStream, node: ir.Node) -> None:
    flow = stream.flow(node.inputs[0])
    if not isinstance(flow, Sequence):
        stepwise(stream, node)
        return
    found = _reshaped(stream, node, flow)
    if found is None:
        stream.mixed(node, "takes steps apart or together with others")
        return
    stream.rewire(node)
    if isinstance(stream.flow(node.inputs[1]), Sized) or _is_fixed(stream, node):
        node.replace_input_with(1, shape_with(stream, node, found.axis, _many(stream, node, found)))
    stream.settle(node, node.outputs[0], found)


def _many(stream: GraphStream, node: ir.Node, flow: Sequence) -> ir.Value:
    """How many elements of a chunk a Reshape has there: what is left, unless another axis is that already."""
    asked = stream.measured.arrays(node.inputs[1])[0]
    is_left = not any(number == -1 for axis, number in enumerate(asked) if axis != flow.axis)
    return stream.memory.ints(-1) if is_left or flow.is_merged else stream.steps(node, flow)


def _is_fixed(stream: GraphStream, node: ir.Node) -> bool:
    """Whether a shape was computed with the number of steps, but is not the same value any more."""
    return stream.measured.varies([hash(array.tobytes()) for array in stream.measured.arrays(node.inputs[1])])


def _reshaped(stream: GraphStream, node: ir.Node, flow: Sequence) -> Sequence | None:
    """Where the steps are after a Reshape, that may take `ratio` steps for one or one for several."""
    output = node.outputs[0]
    axes = stream.measured.varying_axes(output)
    if len(axes) != 1:
        return None
    axis = axes[0]
    arrays = zip(stream.measured.arrays(node.inputs[0]), stream.measured.arrays(output), strict=True)
    before, within = [], []
    for run, (given, got) in enumerate(arrays):
        outside = Fraction(prod(given.shape[: flow.axis]) * flow.before[run], prod(got.shape[:axis]))
        inside = flow.after[run] * prod(given.shape[flow.axis + 1 :])
        before.append(outside)
        within.append(Fraction(inside, prod(got.shape[axis + 1 :])))
    if any(many.denominator > 1 for many in before):
        return None
    moved = replace(flow, axis=axis, before=tuple(map(int, before)))
    if {*before, *flow.after} == {1} and len({*within}) == 1:
        return _with_steps(moved, within[0])
    whole = all(many.denominator == 1 for many in within)
    return replace(moved, after=tuple(map(int, within))) if whole else None


def _with_steps(flow: Sequence, ratio: Fraction) -> Sequence | None:
    """The sequence with `ratio` steps in place of each, or one in place of several, if it begins with a whole one."""
    extra, shift = flow.extra * ratio, flow.shift * ratio
    if extra.denominator > 1 or shift.denominator > 1:
        return None
    edge = flow.edge if ratio == 1 else 0
    return replace(flow, rate=flow.rate * ratio, extra=int(extra), shift=int(shift), edge=edge)


def expand(stream: GraphStream, node: ir.Node) -> None:
    """Expand and ConstantOfShape."""
    shape_at = len(node.inputs) - 1
    flow = stream.flow(node.inputs[0]) if shape_at else Still()
    shape, output = node.inputs[shape_at], node.outputs[0]
    assert shape is not None
    if isinstance(stream.flow(shape), Mixed | Sequence) or not isinstance(flow, Still | Sequence):
        stepwise(stream, node)
        return
    axes = stream.measured.varying_axes(output)
    if isinstance(flow, Sequence):
        _expand_sequence(stream, node, flow)
    elif len(axes) == 1 and (steady := _steady(stream, output, axes[0])) is not None:
        stream.rewire(node)
        if not steady.is_merged:
            node.replace_input_with(shape_at, shape_with(stream, node, axes[0], stream.steps(node, steady), shape_at))
        stream.settle(node, output, steady)
    elif axes:
        stream.mixed(node, "makes a table of every step by every other")
    else:
        stream.rewire(node)
        stream.settle(node, output, Still())


def _steady(stream: GraphStream, output: ir.Value, axis: int) -> Sequence | None:
    """The same number at every step, or for every sequence at every step."""
    lengths = stream.measured.dims(output, axis)
    ones = (1,) * len(lengths)
    if (found := fit(stream, lengths)) is not None:
        return Sequence(axis, *found, found[1], ones, ones, steady=True)
    each = [Fraction(many, sizes[stream.time]) for many, sizes in zip(lengths, stream.measured.sizes, strict=True)]
    if len({*each[:3]}) > 1 or any(many.denominator > 1 for many in each):
        return None
    return Sequence(axis, Fraction(1), 0, 0, tuple(map(int, each)), ones, steady=True)


def _expand_sequence(stream: GraphStream, node: ir.Node, flow: Sequence) -> None:
    found = stream.located(node.outputs[0], flow)
    if found is None:
        stream.mixed(node)
        return
    stream.rewire(node)
    node.replace_input_with(1, shape_with(stream, node, found.axis, stream.memory.ints(1)))
    stream.settle(node, node.outputs[0], found)


def shape_with(stream: GraphStream, node: ir.Node, axis: int, size: ir.Value, shape_at: int = 1) -> ir.Value:
    """The shape that a node reads, with another size for one axis."""
    shape = node.inputs[shape_at]
    output = node.outputs[0]
    assert shape is not None
    parts: list[ir.Value] = []
    asked = stream.measured.arrays(shape)
    skipped = stream.measured.arrays(output)[0].ndim - len(asked[0])
    for k in range(len(asked[0])):
        numbers = {int(array[k]) for array in asked}
        if k + skipped == axis:
            parts.append(size)
        elif len(numbers) == 1:
            parts.append(stream.memory.ints(numbers.pop()))
        else:
            parts.append(_element(stream, node, shape, k))
    if all(part.const_value is not None for part in parts):
        return stream.memory.ints(*(int(part.const_value.numpy()[0]) for part in parts if part.const_value is not None))
    return stream.add(node, "Concat", parts, {"axis": 0})


def _element(stream: GraphStream, node: ir.Node, shape: ir.Value, k: int) -> ir.Value:
    """One number of a shape, in one dimension."""
    producer = shape.producer()
    if producer is not None and producer.op_type == "Concat":
        start = 0
        for part in producer.inputs:
            assert part is not None
            many = len(stream.measured.arrays(part)[0]) if stream.measured.arrays(part) else 1
            if start == k and many == 1:
                return stream.now(part)
            start += many
    return stream.add(node, "Gather", [shape, stream.memory.ints(k)], {"axis": 0})
