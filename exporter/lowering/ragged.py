"""Packed sequences in standard ONNX: padded to [S, N, *] beside their lengths, where S = max(lengths).

Sequences stay padded where only recurrent layers read them, since those take the lengths. Where another operator reads
PyTorch's packed form [P, *], P = sum(lengths), it is gathered, and scattered again afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .stack import initializer


@dataclass(frozen=True)
class Padded:
    """Values [S, N, *]; `is_zero_beyond` if those beyond each sequence's length are known to be zero."""

    value: ir.Value
    is_zero_beyond: bool


class Lengths:
    """The lengths int64[N] of a batch of sequences, and values computed from them, each once and when first needed."""

    def __init__(self, value: ir.Value, tape: ir.tape.Tape, longest: ir.SymbolicDim | int | None) -> None:
        self.value = value
        self.batch = None if value.shape is None else value.shape[0]
        self.longest = longest
        self._tape = tape
        self._steps: ir.Value | None = None
        self._mask: ir.Value | None = None
        self._places: ir.Value | None = None

    @property
    def steps(self) -> ir.Value:
        """S as int64[1]."""
        if self._steps is None:
            self._steps = self._tape.op("ReduceMax", [self.value, self._axis(0)], {"keepdims": 1})
        return self._steps

    @property
    def mask(self) -> ir.Value:
        """bool[S, N]: which steps each sequence has."""
        if self._mask is None:
            scalar = self._tape.op("Squeeze", [self.steps, self._axis(0)])
            start, delta = (self._constant(name, n) for name, n in (("range_start", 0), ("range_step", 1)))
            steps = self._tape.op("Range", [start, scalar, delta])
            self._mask = self._tape.op("Less", [self._tape.op("Unsqueeze", [steps, self._axis(1)]), self.value])
        return self._mask

    @property
    def places(self) -> ir.Value:
        """int64[P, 2]: step and sequence of each row of the packed form."""
        if self._places is None:
            rows = self._tape.op("NonZero", [self.mask])
            self._places = self._tape.op("Transpose", [rows], {"perm": [1, 0]})
        return self._places

    def _axis(self, axis: int) -> ir.Value:
        return initializer(self._tape, f"axis_{axis}", np.array([axis], np.int64))

    def _constant(self, name: str, number: int) -> ir.Value:
        return initializer(self._tape, name, np.array(number, np.int64))


class Ragged:
    """Every packed value met so far in one graph, in its padded form.

    A graph inside another shares nothing with it: lengths are computed again, and packed values scattered.
    """

    def __init__(self, tape: ir.tape.Tape) -> None:
        self._tape = tape
        self._lengths: dict[ir.Value, Lengths] = {}
        self._padded: dict[tuple[ir.Value, ir.Value], Padded] = {}

    def pack(self, node: ir.Node) -> list[ir.Value]:
        """The data [P, *] and batch sizes [S] of a `rnn_export::pack` node with inputs x [T, N, *] and lengths [N]."""
        x, value = _inputs(node)
        sizes = node.outputs[1]
        lengths = self._lengths[value] = Lengths(value, self._tape, None if sizes.shape is None else sizes.shape[0])
        zero, one = (initializer(self._tape, f"axis_{axis}", np.array([axis], np.int64)) for axis in (0, 1))
        padded = self._tape.op("Slice", [x, zero, lengths.steps, zero])
        padded.type = x.type
        if x.shape is not None:
            padded.shape = ir.Shape([lengths.longest, *x.shape[1:]])
        for use in sizes.uses():
            if use.node.op_type == "Shape":
                ir.convenience.replace_all_uses_with(use.node.outputs[0], lengths.steps)
        going_on = self._tape.op("Cast", [lengths.mask], {"to": ir.DataType.INT64})
        batch_sizes = self._tape.op("ReduceSum", [going_on, one], {"keepdims": 0})
        return [self.packed(Padded(padded, is_zero_beyond=False), value), batch_sizes]

    def packed(self, padded: Padded, lengths: ir.Value) -> ir.Value:
        """The packed form [P, *] of [S, N, *]."""
        data = self._tape.op("GatherND", [padded.value, self._of(lengths).places])
        self._padded[data, lengths] = padded
        return data

    def padded(self, data: ir.Value, lengths: ir.Value) -> Padded:
        """The padded form [S, N, *] of [P, *]."""
        source = _through(data, "Identity")
        found = self._padded.get((source, lengths))
        if found is None:
            found = self._padded[source, lengths] = self._scattered(source, self._of(lengths))
        return found

    def _of(self, lengths: ir.Value) -> Lengths:
        return self._lengths.setdefault(lengths, Lengths(lengths, self._tape, None))

    def _scattered(self, data: ir.Value, lengths: Lengths) -> Padded:
        tape = self._tape
        batch, rest = tape.op("Shape", [lengths.value]), tape.op("Shape", [data], {"start": 1})
        shape = tape.op("Concat", [lengths.steps, batch, rest], {"axis": 0})
        assert data.dtype is not None
        zeros = tape.op("ConstantOfShape", [shape], {"value": ir.tensor(np.zeros(1, data.dtype.numpy()))})
        value = tape.op("ScatterND", [zeros, lengths.places, data])
        value.type = data.type
        if data.shape is not None:
            value.shape = ir.Shape([lengths.longest, lengths.batch, *data.shape[1:]])
        return Padded(value, is_zero_beyond=True)

    def pad(self, node: ir.Node) -> list[ir.Value]:
        """The output [steps, N, *] of a `rnn_export::pad` node with inputs data [P, *], lengths [N] and steps []."""
        data, value, steps = _inputs(node)
        lengths, padded = self._of(value), self.padded(data, value)
        assert data.dtype is not None
        content = np.array(node.attributes["value"].as_float(), data.dtype.numpy())
        filler = initializer(self._tape, "padding_value", content)
        filled = padded.value
        if content != 0 or not padded.is_zero_beyond:
            filled = self._tape.op("Where", [self._broadcast(lengths.mask, padded.value), filled, filler])
            filled.type, filled.shape = padded.value.type, padded.value.shape
        shape = node.outputs[0].shape
        if shape is not None and lengths.longest is not None and shape[0] == lengths.longest:
            return [self._tape.op("Identity", [filled])]
        return [self._extended(filled, lengths, steps, filler)]

    def _broadcast(self, mask: ir.Value, value: ir.Value) -> ir.Value:
        """bool[S, N] as [S, N, 1, ...], of as many dimensions as the value."""
        assert value.shape is not None
        axes = np.arange(2, value.shape.rank(), dtype=np.int64)
        if not axes.size:
            return mask
        return self._tape.op("Unsqueeze", [mask, initializer(self._tape, f"axes_2_{axes.size}", axes)])

    def _extended(self, value: ir.Value, lengths: Lengths, steps: ir.Value, filler: ir.Value) -> ir.Value:
        """[S, N, *] with steps of padding appended, to [steps, N, *]."""
        assert value.shape is not None
        rank = value.shape.rank()
        missing = self._tape.op("Sub", [steps, lengths.steps])
        before, after = (
            initializer(self._tape, f"no_padding_{count}", np.zeros(count, np.int64)) for count in (rank, rank - 1)
        )
        pads = self._tape.op("Concat", [before, missing, after], {"axis": 0})
        return self._tape.op("Pad", [value, pads, filler])

    def name_sizes(self, graph: ir.Graph) -> None:
        """Rename S in the shapes of a graph to `max(lengths)`, after the graph's input that holds the lengths."""
        sources = {str(known.longest): _through(known.value, "Identity", "Cast") for known in self._lengths.values()}
        names = {
            dim: f"max({source.name})"
            for dim, source in sources.items()
            if source.is_graph_input() and source.dtype in (ir.DataType.INT32, ir.DataType.INT64)
        }
        for value in (value for node in graph for value in node.outputs if value.shape is not None):
            value.shape = ir.Shape([names.get(str(dim), dim) for dim in value.shape])  # type: ignore[union-attr]


def _inputs(node: ir.Node) -> list[ir.Value]:
    return [value for value in node.inputs if value is not None]


def _through(value: ir.Value, *kinds: str) -> ir.Value:
    """The value that a chain of nodes of these kinds starts from."""
    producer = value.producer()
    while producer is not None and producer.op_type in kinds:
        value = _inputs(producer)[0]
        producer = value.producer()
    return value
