"""Which steps of a chunk, and which before it, a table of steps by steps is made of: their numbers and distances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx_ir as ir

from ..graph import Array, constant_like
from .distances import Table
from .flow import Paired, Sequence
from .graph_stream import GraphStream
from .pairs import axes_of


@dataclass(frozen=True)
class Span:
    """Rows at the shift `row`, columns at `column`, with `past` of them before a chunk; None: all there have been."""

    row: int
    column: int
    past: int | None
    rate: Fraction


@dataclass(frozen=True)
class Steps:
    """The steps of a span as values, inserted before `node`; what was made of the same before is taken again."""

    stream: GraphStream
    node: ir.Node
    span: Span

    def once(self, key: object, make: Callable[[], ir.Value]) -> ir.Value:
        made = self.stream.made
        if (key, self.span) not in made:
            made[key, self.span] = make()
        return made[key, self.span]

    def rows(self) -> ir.Value:
        """How many rows, in one dimension."""
        ones = (1,) * len(self.stream.measured.runs)
        flow = Sequence(0, self.span.rate, 0, 0, ones, ones)
        return self.once("rows", lambda: self.stream.steps(self.node, flow))

    def columns(self) -> ir.Value:
        """How many columns, in one dimension; where they grow, some have been made before."""
        past = self.stream.memory.ints(self.span.past) if self.span.past is not None else self._grown()
        return self.once("columns", lambda: self._add("Add", self.rows(), past))

    def _grown(self) -> ir.Value:
        state = next(each for each in self.stream.memory.states if each.grows)
        given = next(value for value in self.stream.model.graph.inputs if value.name == state.name)
        axis = state.shape.index(state.grows)
        ends = {"start": axis, "end": axis + 1}
        return self.once("grown", lambda: self.stream.add(self.node, "Shape", [given], ends))

    def by_distance(self, table: Table, like: ir.Value, turned: bool) -> ir.Value:
        """What a table says of each row and column, where the axes of `like` have them."""
        table = table.trimmed()
        others = self.stream.measured.arrays(like)[0].ndim - 2
        values = table.values.reshape((1,) * (others + 1 - table.values.ndim) + table.values.shape)
        many = values.shape[-1]
        least, most = self._number(0), self._number(many - 1)
        index = self._add("Sub", self._apart(), self.stream.memory.ints(table.first))
        index = self._add("Clip", index, least, most)
        data = self.stream.memory.constant("distances", np.ascontiguousarray(values))
        found = self.stream.add(self.node, "Gather", [data, index], {"axis": others})
        return self._laid(found, like, turned)

    def _laid(self, value: ir.Value, like: ir.Value, turned: bool) -> ir.Value:
        """A table [..., rows, columns] with its axes as `like` has them."""
        flow = self.stream.flow(like)
        assert isinstance(flow, Paired)
        row, column = axes_of(flow)[:: -1 if turned else 1]
        rank = self.stream.measured.arrays(like)[0].ndim
        others = iter(range(rank - 2))
        perm = [rank - 2 if k == row else rank - 1 if k == column else next(others) for k in range(rank)]
        if perm == [*range(rank)]:
            return value
        moved = ir.node("Transpose", [value], {"perm": perm})
        assert self.node.graph is not None
        self.node.graph.insert_before(self.node, moved)
        return moved.outputs[0]

    def _apart(self) -> ir.Value:
        """How far each row is behind each column."""
        return self.once("apart", self._make_apart)

    def _make_apart(self) -> ir.Value:
        span, ints = self.span, self.stream.memory.ints
        past = self._grown() if span.past is None else ints(span.past)
        more = self._add("Add", past, ints(span.row - span.column)) if span.row != span.column else past
        row = self._add("Unsqueeze", self._add("Add", self._numbers(self.rows()), more), ints(1))
        return self._add("Sub", row, self._add("Unsqueeze", self._numbers(self.columns()), ints(0)))

    def _numbers(self, many: ir.Value) -> ir.Value:
        many = self._add("Squeeze", many, self.stream.memory.ints(0))
        return self._add("Range", self._number(0), many, self._number(1))

    def _number(self, number: int) -> ir.Value:
        return constant_like(self.stream.model.graph, f"number{number}", np.array(number))

    def known(self, like: ir.Value, axis: int) -> ir.Value | None:
        """Whether there is a step at each column, where a table like this has its columns; None if there always is."""
        span, stream = self.span, self.stream
        rank = stream.measured.arrays(like)[0].ndim
        if span.past is None and span.column < 0:
            numbers = self._numbers(self.columns())
            there = self._add("GreaterOrEqual", numbers, stream.memory.ints(-span.column))
            others = [k for k in range(rank) if k != axis]
            return self._add("Unsqueeze", there, stream.memory.ints(*others))
        late = 0 if span.past is None else span.past - min(span.column, 0)
        if late == 0:
            return None
        named = tuple(k for k in range(rank) if k not in stream.measured.varying_axes(like) and stream.is_name(like, k))
        key = ("known", rank, axis, named, tuple(tuple(stream.measured.dims(like, k)) for k in named))
        return self.once(key, lambda: self._make_known(like, axis, named, late))

    def _make_known(self, like: ir.Value, axis: int, named: tuple[int, ...], late: int) -> ir.Value:
        resets = [self._reset(array, axis, named, late) for array in self.stream.measured.arrays(like)]
        joined = self.stream.begun(self.node, resets, axis, self.rows())
        return (
            self.stream.part(self.node, joined, axis, 0, min(self.span.column, 0)) if self.span.column < 0 else joined
        )

    def _reset(self, array: Array, axis: int, named: tuple[int, ...], late: int) -> Array:
        shape = [late if k == axis else array.shape[k] if k in named else 1 for k in range(array.ndim)]
        found = np.zeros(shape, bool)
        np.moveaxis(found, axis, 0)[late - min(late, max(self.span.column, 0)) :] = True
        return found

    def _add(self, op_type: str, *inputs: ir.Value) -> ir.Value:
        return self.stream.add(self.node, op_type, inputs)
