"""Numbers of steps: `arange(T)`, and the first T rows of a table, go on where the chunk before ended."""

from __future__ import annotations

from collections.abc import Sequence as Many
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from ..recurrent_states import inputs_behind
from .flow import Sequence
from .graph_stream import GraphStream
from .together import stepwise


def fit(stream: GraphStream, lengths: Many[int]) -> tuple[Fraction, int] | None:
    """The rate and the number beside it, for lengths that follow from the time alone; None if they do not."""
    steps = [sizes[stream.time] for sizes in stream.measured.sizes]
    rate = Fraction(lengths[1] - lengths[0], steps[1] - steps[0])
    extra = lengths[0] - rate * steps[0]
    fits = all(rate * many + extra == length for many, length in zip(steps, lengths, strict=True))
    return (rate, int(extra)) if fits and rate > 0 and extra.denominator == 1 else None


def count_up(stream: GraphStream, node: ir.Node) -> None:
    """Range."""
    output = node.outputs[0]
    lengths = stream.measured.dims(output, 0)
    if not stream.measured.varies(lengths):
        stepwise(stream, node)
        return
    found = fit(stream, lengths)
    if found is not None and inputs_behind(node.inputs[0], stream.model.graph) & stream.declared:
        # What the model counts goes on by itself.
        stream.rewire(node)
        stream.settle(node, output, _sequence(stream, found))
        return
    first, _, by = (stream.measured.arrays(value) for value in node.inputs)
    if found is None or len({*map(float, first)}) > 1 or len({*map(float, by)}) > 1:
        stream.mixed(node, "counts down or by the number of steps")
        return
    flow = _sequence(stream, found)
    indices = _indices(stream, node, flow)
    array = stream.measured.arrays(output)[0]
    if array.dtype != np.int64:
        indices = stream.add(node, "Cast", [indices], {"to": int(ir.DataType.from_numpy(array.dtype))})
    for op_type, number, neutral in (("Mul", by[0], 1), ("Add", first[0], 0)):
        if number != neutral:
            constant = stream.memory.constant(f"{output.name}.{op_type.lower()}", np.array(number, array.dtype))
            indices = stream.add(node, op_type, [indices, constant])
    indices.type, indices.shape = output.type, output.shape
    stream.settle(node, output, flow, indices)


def rows_of_table(stream: GraphStream, node: ir.Node, axis: int, start: int) -> None:
    """A slice of a table that is as long as the sequence."""
    output = node.outputs[0]
    found = fit(stream, stream.measured.dims(output, axis))
    if found is None:
        stream.mixed(node, "takes as many rows of a table as there are sequences and steps")
        return
    flow = _sequence(stream, found, axis)
    indices = _indices(stream, node, flow)
    if start:
        indices = stream.add(node, "Add", [indices, stream.memory.ints(start)])
    table = node.inputs[0]
    assert table is not None
    # Unlike a Slice, a Gather raises beyond the end of a table.
    rows = stream.add(node, "Gather", [stream.now(table), indices], {"axis": axis}, like=output)
    stream.settle(node, output, flow, rows)


def _sequence(stream: GraphStream, found: tuple[Fraction, int], axis: int = 0) -> Sequence:
    rate, extra = found
    ones = (1,) * len(stream.measured.runs)
    return Sequence(axis, rate, extra, extra, ones, ones)


def _indices(stream: GraphStream, node: ir.Node, flow: Sequence) -> ir.Value:
    """The numbers of a chunk's elements in the sequence.

    The counter is added to a range from 0: of a Gather of a Range from the counter on, ONNX Runtime makes a Slice,
    which does not raise beyond the end of a table.
    """
    zero, one = (stream.memory.constant(name, np.array(k, np.int64)) for k, name in enumerate(("zero", "one")))
    steps = stream.add(node, "Squeeze", [stream.steps(node, flow), stream.memory.ints(0)])
    return stream.add(node, "Add", [stream.add(node, "Range", [zero, steps, one]), stream.counter(node, flow)])
