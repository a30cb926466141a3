"""The graph under change: what each of its values becomes in a stream, and how to have one later or without gaps."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Many
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from ...spec.signature import Signature
from ...spec.streams import OutputTiming, cannot_stream
from ..graph import Array, constant_like, subgraphs
from .distances import Distances
from .flow import Flow, Mixed, Sequence, Still
from .measure import Measured
from .memory import END, Memory
from .refusal import mixes

_MERGED = "needs earlier steps of what has steps and sequences in one dimension"


@dataclass
class GraphStream:
    """`flows` and `current`, which stands for a value in the stream, are by the values of the graph as it was."""

    model: ir.Model
    signature: Signature
    time: str
    measured: Measured
    memory: Memory
    original: ir.Model
    declared: frozenset[str]
    distances: Distances
    multiple: int = 1
    masked: bool = False
    flows: dict[ir.Value, Flow] = field(default_factory=dict)
    current: dict[ir.Value, ir.Value] = field(default_factory=dict)
    resets: dict[ir.Node, Many[Many[Array]]] = field(default_factory=dict)
    waiting: dict[ir.Node, ir.Value] = field(default_factory=dict)
    timings: dict[str, OutputTiming] = field(default_factory=dict)
    made: dict[object, ir.Value] = field(default_factory=dict)
    _counter: ir.Value | None = None
    _late: dict[tuple[ir.Value, int], ir.Value] = field(default_factory=dict)

    def flow(self, value: ir.Value | None) -> Flow:
        return Still() if value is None else self.flows.get(value, Still())

    def now(self, value: ir.Value) -> ir.Value:
        return self.current.get(value, value)

    def sequence(self, node: ir.Node, position: int) -> tuple[ir.Value, Sequence]:
        """The sequence that a node reads there."""
        value = node.inputs[position]
        assert value is not None
        flow = self.flows[value]
        assert isinstance(flow, Sequence)
        return value, flow

    def sequence_of(self, value: ir.Value | None) -> Sequence | None:
        flow = self.flow(value)
        return flow if isinstance(flow, Sequence) else None

    def mixed(self, node: ir.Node, why: str = "") -> None:
        """Give up a node's outputs."""
        for output in node.outputs:
            self.flows[output] = Mixed(mixes(node, self.time, why))

    def refuse(self, why: str) -> Exception:
        return cannot_stream(f"{why}.")

    def settle(self, node: ir.Node, output: ir.Value, flow: Flow, made: ir.Value | None = None) -> None:
        """Say what an output becomes, and which value has it in the stream."""
        self.flows[output] = flow
        if made is not None:
            self.current[output] = made
        if isinstance(flow, Sequence) and not flow.is_merged:
            self._relabel(made or output, flow)

    def _relabel(self, value: ir.Value, flow: Sequence) -> None:
        """A chunk has as many elements as steps, where a whole run has more."""
        if value.shape is None or value.is_graph_input():
            return
        dims = list(value.shape)
        if flow.axis < len(dims):
            dims[flow.axis] = ir.SymbolicDim(self.time if flow.rate == 1 else None)
            value.shape = ir.Shape(dims)

    def rewire(self, node: ir.Node) -> None:
        """Let a node, and the graphs inside it, read what its inputs are in the stream."""
        for i, value in enumerate(node.inputs):
            if value is not None and value in self.current:
                node.replace_input_with(i, self.current[value])
        for graph in subgraphs(node):
            for inner in ir.traversal.RecursiveGraphIterator(graph):
                for i, value in enumerate(inner.inputs):
                    if value is not None and value in self.current:
                        inner.replace_input_with(i, self.current[value])

    def extent(self, value: ir.Value, flow: Sequence, past: int, pad: int = 0, fill: float = 0.0) -> list[Array]:
        """The `past` elements before the first step in each run, where `pad` are put before all; 0 where none are."""
        found = []
        for array in self.measured.arrays(value):
            have = max(0, min(past, flow.shift))
            begin = max(0, flow.shift - past)
            padded = min(past - have, max(0, pad + min(flow.shift, 0)))
            missing = past - have - padded
            shapes = [(*array.shape[: flow.axis], many, *array.shape[flow.axis + 1 :]) for many in (missing, padded)]
            kept = np.take(array, range(begin, begin + have), flow.axis)
            before = [np.zeros(shapes[0], array.dtype), np.full(shapes[1], fill, array.dtype)]
            found.append(np.concatenate([*before, kept], flow.axis))
        return found

    def keep(self, node: ir.Node, value: ir.Value, axis: int, resets: Many[Array], letter: str = "x") -> ir.Value:
        """A chunk with the elements before it, as many as the resets have."""
        many = resets[0].shape[axis]
        memory = self.memory
        before = memory.state(node, resets, letter)
        joined = self.add(node, "Concat", [before, value], {"axis": axis}, like=value)
        after = self.add(node, "Slice", [joined, memory.ints(-many), memory.ints(END), memory.ints(axis)], like=value)
        memory.carry(before, after)
        return of_any_length(joined, axis)

    def grow(self, node: ir.Node, value: ir.Value, axis: int, letter: str, whole: Many[Array]) -> ir.Value:
        """A chunk with all elements before it, in a state that grows; `whole` is the sequence in each run."""
        none = [np.zeros((*array.shape[:axis], 1, *array.shape[axis + 1 :]), array.dtype) for array in whole]
        before = self.memory.state(node, none, letter, axis)
        joined = self.add(node, "Concat", [before, value], {"axis": axis}, like=value)
        self.memory.carry(before, self.add(node, "Identity", [joined]))
        return of_any_length(joined, axis)

    def part(self, node: ir.Node, value: ir.Value, axis: int, start: int, end: int) -> ir.Value:
        """A slice along an axis."""
        if (start, end) == (0, END):
            return value
        ints = self.memory.ints
        made = self.add(node, "Slice", [value, ints(start), ints(end), ints(axis)], like=value)
        return of_any_length(made, axis)

    def delayed(self, node: ir.Node, value: ir.Value, shift: int) -> ir.Value:
        """A sequence at a shift that is no larger than its own."""
        flow = self.flows[value]
        assert isinstance(flow, Sequence)
        by = flow.shift - shift
        if by == 0 or flow.steady:
            return self.now(value)
        if flow.is_merged:
            raise self.refuse(mixes(node, self.time, _MERGED))
        if (value, shift) not in self._late:
            joined = self.keep(node, self.now(value), flow.axis, self.extent(value, flow, by))
            self._late[value, shift] = self.part(node, joined, flow.axis, 0, -by)
            self._relabel(self._late[value, shift], flow)
        return self._late[value, shift]

    def filled(self, node: ir.Node, value: ir.Value, fill: float) -> ir.Value:
        """A sequence with `fill` for what comes before it begins, where its shift is below 0."""
        flow = self.flows[value]
        assert isinstance(flow, Sequence)
        now = self.now(value)
        if flow.shift >= 0:
            return now
        known = self.known(node, value, flow)
        dtype = self.measured.arrays(value)[0].dtype
        filling = self.memory.constant(f"{value.name}.fill", np.array(fill, dtype))
        return self.add(node, "Where", [known, now, filling], like=now)

    def known(self, node: ir.Node, value: ir.Value, flow: Sequence) -> ir.Value:
        """Whether each element of a chunk belongs to the sequence, for every sequence of a batch."""
        if flow.is_merged:
            raise self.refuse(mixes(node, self.time, _MERGED))
        resets = [
            np.zeros(
                [
                    -flow.shift if k == flow.axis else size if self.is_name(value, k) else 1
                    for k, size in enumerate(array.shape)
                ],
                bool,
            )
            for array in self.measured.arrays(value)
        ]
        length = self.add(node, "Shape", [self.now(value)], {"start": flow.axis, "end": flow.axis + 1})
        return self.part(node, self.begun(node, resets, flow.axis, length), flow.axis, 0, flow.shift)

    def begun(self, node: ir.Node, resets: Many[Array], axis: int, length: ir.Value) -> ir.Value:
        """Whether there is something yet: what the resets say, and True from the first step on."""
        before = self.memory.state(node, resets, "known")
        ints = self.memory.ints
        shape_of = self.add(node, "Shape", [before])
        around = [
            self.add(node, "Slice", [shape_of, ints(0), ints(axis)]),
            length,
            self.add(node, "Slice", [shape_of, ints(axis + 1), ints(resets[0].ndim)]),
        ]
        shape = self.add(node, "Concat", around, {"axis": 0})
        true = constant_like(self.model.graph, "true", np.array(True))
        joined = self.add(node, "Concat", [before, self.add(node, "Expand", [true, shape])], {"axis": axis})
        self.memory.carry(before, self.part(node, joined, axis, -resets[0].shape[axis], END))
        return joined

    def is_name(self, value: ir.Value, axis: int) -> bool:
        return str(self.measured.spell(self.measured.dims(value, axis))) in self.signature.symbols

    def add(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Many[ir.Value | None],
        attributes: Mapping[str, int] | None = None,
        like: ir.Value | None = None,
    ) -> ir.Value:
        """A new node before another one; its output has the type of `like`, and its shape where that is the same."""
        made = ir.node(op_type, inputs, attributes)
        if like is not None:
            made.outputs[0].type = like.type
            made.outputs[0].shape = None if like.shape is None else ir.Shape([*like.shape])
        graph = node.graph
        assert graph is not None
        graph.insert_before(node, made)
        made.meta.update(node.meta)
        return made.outputs[0]

    def steps(self, node: ir.Node, flow: Sequence) -> ir.Value:
        """How many elements a chunk of a sequence has: its own number of steps at a rate."""
        name, spec = next(entry for entry in self.signature.inputs.items() if self.time in entry[1].shape)
        axis = spec.shape.index(self.time)
        given = next(value for value in self.model.graph.inputs if value.name == name)
        many = self.add(node, "Shape", [given], {"start": axis, "end": axis + 1})
        if flow.rate.numerator != 1:
            many = self.add(node, "Mul", [many, self.memory.ints(flow.rate.numerator)])
        return (
            many
            if flow.rate.denominator == 1
            else self.add(node, "Div", [many, self.memory.ints(flow.rate.denominator)])
        )

    def counter(self, node: ir.Node, flow: Sequence) -> ir.Value:
        """The number of the first element of a chunk, in one dimension."""
        if self._counter is None:
            self._counter = self.memory.state(node, [np.zeros(1, np.int64)] * len(self.measured.runs), "steps")
            one = Sequence(0, Fraction(1), 0, 0, (), ())
            self.memory.carry(self._counter, self.add(node, "Add", [self._counter, self.steps(node, one)]))
        first = self._counter
        if flow.rate.numerator != 1:
            first = self.add(node, "Mul", [first, self.memory.ints(flow.rate.numerator)])
        if flow.rate.denominator != 1:
            first = self.add(node, "Div", [first, self.memory.ints(flow.rate.denominator)])
        return first if flow.shift == 0 else self.add(node, "Add", [first, self.memory.ints(flow.shift)])

    def in_step(self, output: ir.Value) -> Sequence | None:
        """A sequence of one element for each step, if a value is as long as that."""
        ones = (1,) * len(self.measured.runs)
        axes = self.measured.varying_axes(output)
        return self.located(output, Sequence(axes[0], Fraction(1), 0, 0, ones, ones)) if len(axes) == 1 else None

    def located(self, output: ir.Value, like: Sequence, *, steady: bool | None = None) -> Sequence | None:
        """The same sequence in another value: along its one axis whose length depends on the time, if that fits."""
        axes = self.measured.varying_axes(output)
        if len(axes) != 1:
            return None
        lengths = self.measured.dims(output, axes[0])
        steps = [sizes[self.time] for sizes in self.measured.sizes]
        fits = all(
            like.length(run, many) == length for run, (many, length) in enumerate(zip(steps, lengths, strict=True))
        )
        return replace(like, axis=axes[0], steady=like.steady if steady is None else steady) if fits else None


def of_any_length(value: ir.Value, axis: int) -> ir.Value:
    """The same value, of which it is not known how long it is."""
    if value.shape is not None:
        value.shape = ir.Shape([ir.SymbolicDim(None) if k == axis else dim for k, dim in enumerate(value.shape)])
    return value
