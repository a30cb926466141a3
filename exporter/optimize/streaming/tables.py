"""Build the part of a table of steps by steps that a chunk reads: its steps by those it looks back at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from ..graph import array_of
from .flow import Paired, Sequence
from .graph_stream import GraphStream
from .pairs import axes_of, roles, softmax_side
from .span import Steps
from .support import trilu_table

_SHAPED = ("Reshape", "Expand")
_KEPT = ("Cast", "Identity", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Where")


@dataclass
class Tables:
    """Repeats the operators that make a table, for the steps of a span."""

    stream: GraphStream
    steps: Steps

    def summand(self, value: ir.Value, turned: bool, neutral: int) -> ir.Value:
        """A table without what is no step; `turned`: the rows are its second axis."""
        self._look_back(value, turned)
        made = self._built(value, turned)
        return made if neutral == 0 and self._is_softmaxed(value) else self._masked(value, made, turned, neutral)

    def _look_back(self, value: ir.Value | None, turned: bool) -> None:
        """Make the states of a table's columns, off which a number of columns that grows is read."""
        node = None if value is None else value.producer()
        if node is None or self.stream.distances.is_fixed(value):
            return
        for k, role in roles(self.stream, node):
            operand = node.inputs[k]
            assert operand is not None
            if isinstance(self.stream.flow(operand), Paired):
                self._look_back(operand, turned ^ bool(role))
            elif bool(role) != turned:
                self.looked_back(operand, "k")

    def looked_back(self, value: ir.Value, letter: str) -> ir.Value:
        """A sequence with the elements before a chunk that it looks back at."""
        return self.steps.once((value, "columns"), lambda: self._columns(value, letter))

    def _columns(self, value: ir.Value, letter: str) -> ir.Value:
        stream, span = self.stream, self.steps.span
        flow = stream.flow(value)
        assert isinstance(flow, Sequence)
        late = stream.delayed(self.steps.node, value, min(span.column, flow.shift))
        if span.past is None:
            return stream.grow(self.steps.node, late, flow.axis, letter, stream.measured.arrays(value))
        if span.past == 0:
            return late
        before = stream.extent(value, replace(flow, shift=span.column), span.past)
        return stream.keep(self.steps.node, late, flow.axis, before, letter)

    def can_build(self, value: ir.Value | None, turned: bool) -> bool:
        """Whether no softmax is taken along the rows."""
        node = None if value is None else value.producer()
        flow = self.stream.flow(value)
        if node is None or not isinstance(flow, Paired) or self.stream.distances.is_fixed(value):
            return True
        if node.op_type == "Softmax" and softmax_side(self.stream, node) == int(turned):
            return False
        return all(self.can_build(node.inputs[k], turned ^ bool(role)) for k, role in self._tables(node))

    def _tables(self, node: ir.Node) -> list[tuple[int, int]]:
        return [each for each in roles(self.stream, node) if isinstance(self.stream.flow(node.inputs[each[0]]), Paired)]

    def _is_softmaxed(self, value: ir.Value | None) -> bool:
        """Whether a table is 0 at what is no step, for a softmax made it so."""
        node = None if value is None else value.producer()
        if node is None or not isinstance(self.stream.flow(value), Paired) or self.stream.distances.is_fixed(value):
            return False
        if node.op_type == "Softmax":
            return softmax_side(self.stream, node) is not None
        sides = node.inputs[1:] if node.op_type == "Where" else node.inputs[:1]
        return node.op_type in _KEPT and all(_is_zero(side) or self._is_softmaxed(side) for side in sides)

    def _built(self, value: ir.Value, turned: bool) -> ir.Value:
        return self.steps.once((value, turned), lambda: self._build(value, turned))

    def _build(self, value: ir.Value, turned: bool) -> ir.Value:
        stream = self.stream
        if stream.distances.is_fixed(value):
            table = stream.distances.table(value)
            assert table is not None
            return self.steps.by_distance(table.turned() if turned else table, value, turned)
        node = value.producer()
        assert node is not None
        inputs = self._operands(node, turned)
        if node.op_type == "Trilu":
            table = trilu_table(stream, node)
            keeps = self.steps.by_distance(table.turned() if turned else table, value, turned)
            return self._add("Where", keeps, inputs[0], self._fill(value, 0))
        if node.op_type == "Softmax" and softmax_side(stream, node) is not None:
            assert inputs[0] is not None
            inputs[0] = self._masked(value, inputs[0], turned, -1)
        if node.op_type in _SHAPED:
            inputs[1] = self._shape(node, turned)
        copy = ir.Node(node.domain, node.op_type, inputs, [*node.attributes.values()], num_outputs=1)
        copy.outputs[0].type = value.type
        copy.meta.update(node.meta)
        assert self.steps.node.graph is not None
        self.steps.node.graph.insert_before(self.steps.node, copy)
        return copy.outputs[0]

    def _masked(self, value: ir.Value, made: ir.Value, turned: bool, neutral: int) -> ir.Value:
        """A table that is 0, or for -1 as little as can be, at the columns before the first step."""
        flow = self.stream.flow(value)
        assert isinstance(flow, Paired)
        known = self.steps.known(value, axes_of(flow)[not turned])
        return made if known is None else self._add("Where", known, made, self._fill(value, neutral))

    def _fill(self, value: ir.Value, neutral: int) -> ir.Value:
        dtype = self.stream.measured.arrays(value)[0].dtype
        number = np.finfo(str(dtype)).min if neutral else 0
        return self.stream.memory.constant("neutral", np.array(number, dtype))

    def _operands(self, node: ir.Node, turned: bool) -> list[ir.Value | None]:
        stream, lie = self.stream, dict(roles(self.stream, node))
        found: list[ir.Value | None] = []
        for k, value in enumerate(node.inputs):
            flow = stream.flow(value)
            if value is None:
                found.append(None)
            elif isinstance(flow, Paired):
                found.append(self._built(value, turned ^ bool(lie[k])))
            elif isinstance(flow, Sequence):
                is_row = bool(lie[k]) == turned
                found.append(self._row(value, flow) if is_row else self.looked_back(value, "k"))
            else:
                found.append(stream.now(value))
        return found

    def _row(self, value: ir.Value, flow: Sequence) -> ir.Value:
        return self.stream.delayed(self.steps.node, value, min(self.steps.span.row, flow.shift))

    def _shape(self, node: ir.Node, turned: bool) -> ir.Value:
        """The shape that a node asks for, with the numbers of rows and columns of a chunk."""
        stream, shape = self.stream, node.inputs[1]
        assert shape is not None
        flow = stream.flow(node.outputs[0])
        assert isinstance(flow, Paired)
        first, second = axes_of(flow)
        row, column = (second, first) if turned else (first, second)
        counts = {row: self.steps.rows(), column: self.steps.columns()}
        asked = stream.measured.arrays(shape)
        skipped = stream.measured.arrays(node.outputs[0])[0].ndim - len(asked[0])
        parts = []
        for k in range(len(asked[0])):
            numbers = {int(array[k]) for array in asked}
            one = stream.memory.ints(next(iter(numbers)))
            same = one if len(numbers) == 1 else self._add("Gather", stream.now(shape), stream.memory.ints(k))
            parts.append(counts.get(k + skipped, same))
        return stream.add(self.steps.node, "Concat", parts, {"axis": 0})

    def _add(self, op_type: str, *inputs: ir.Value | None) -> ir.Value:
        return self.stream.add(self.steps.node, op_type, inputs)


def _is_zero(value: ir.Value | None) -> bool:
    array = array_of(value)
    return array is not None and not array.any()
