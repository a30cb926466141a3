"""Tables of steps by steps that follow from sizes alone, such as masks: what they say of each distance of two steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ...spec.signature import Signature
from ..graph import Array, read
from .far import Far, far
from .measure import Measured, Sizes, measure_values
from .step_counts import step_counts

# Numbers of steps to look at, the longest first; larger ones where a constant that the table is made of is larger, such
# as the width of a window, up to `_WIDEST`.
_STEPS = (2560, 640, 160, 40)
_WIDEST = 8192
_BESIDE = 16


@dataclass(frozen=True)
class Table:
    """What a table says of the steps i and j, for each i - j from `first` on, along the last axis."""

    values: Array
    first: int

    @property
    def last(self) -> int:
        return self.first + int(self.values.shape[-1]) - 1

    def turned(self) -> Table:
        """The same for j - i."""
        return Table(self.values[..., ::-1], -self.last)

    def between(self, first: int, last: int) -> Table:
        """A part of it; beyond its ends it says what it says there."""
        places = np.clip(np.arange(first, last + 1) - self.first, 0, self.values.shape[-1] - 1)
        return Table(self.values[..., places], first)

    def trimmed(self) -> Table:
        """Without the distances at both ends that are like the next one."""
        flat = self.values.reshape(-1, self.values.shape[-1])
        changes = np.flatnonzero((flat[:, 1:] != flat[:, :-1]).any(0))
        if not changes.size:
            return Table(self.values[..., :1], self.first)
        return Table(self.values[..., changes[0] : changes[-1] + 2], self.first + int(changes[0]))


@dataclass
class Distances:
    """Reads tables off a graph as it was before it was made to stream."""

    model: ir.Model
    signature: Signature
    time: str
    measured: Measured
    moved: frozenset[str] = frozenset()
    _found: dict[str, Table | None] = field(default_factory=dict)
    _far: dict[str, Far | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.moved = frozenset(_moved(self.model.graph, {*self.signature.inputs}))

    def is_fixed(self, value: ir.Value | None) -> bool:
        """Whether a value follows from sizes alone."""
        return value is not None and value.name not in self.moved

    def table(self, value: ir.Value) -> Table | None:
        """What a table says of each distance; None if it depends on more than that."""
        name = str(value.name)
        if name not in self._found:
            self._found[name] = self._read(value)
        return self._found[name]

    def far(self, value: ir.Value) -> Far | None:
        """What a table says of steps further apart than it is run at; None where that cannot be seen."""
        name = str(value.name)
        if name not in self._far:
            self._far[name] = far(self.model, self.signature, self.time, self.measured, value)
        return self._far[name]

    def is_too_wide(self, value: ir.Value) -> bool:
        """Whether a table may reach further than it is looked at."""
        return _widths(self.model.graph, str(value.name))[1]

    def _read(self, value: ir.Value) -> Table | None:
        axes = self.measured.varying_axes(value)
        arrays = [self._alike(array, axes) for array in self.measured.arrays(value)]
        tables = [None if array is None else _by_distance(array) for array in arrays]
        long = self._long(value, axes)
        if long is None:
            return None
        return long if all(each is not None and _agree(each, long) for each in tables) else None

    def _long(self, value: ir.Value, axes: list[int]) -> Table | None:
        """The table of many steps."""
        wider, too_wide = _widths(self.model.graph, str(value.name))
        if too_wide:
            return None
        many = {*_STEPS, *(width + more for width in wider for more in (0, _BESIDE))}
        for steps in sorted(many, reverse=True):
            sizes = {**dict.fromkeys(self.signature.symbols, 1), self.time: steps}
            array = self._at(value, axes, sizes)
            if array is not None:
                found = self._alike(array, axes)
                return None if found is None else _by_distance(found)
        return None

    def _at(self, value: ir.Value, axes: list[int], sizes: Sizes) -> Array | None:
        """The table at given sizes; None where it cannot be as long as that."""
        try:
            array = measure_values(self.model, self.signature, [sizes], [str(value.name)])[0][0]
        except Exception:  # onnxruntime raises classes of its own that have no common base
            return None
        some, more = (self.measured.arrays(value)[k].shape for k in (0, 1))
        steps, others = (self.measured.sizes[k][self.time] for k in (0, 1))
        for axis in axes:
            rate = (more[axis] - some[axis]) / (others - steps)
            if array.shape[axis] != some[axis] + rate * (sizes[self.time] - steps):
                return None
        return array

    def _alike(self, array: Array, axes: list[int]) -> Array | None:
        """With the steps last; where it is the same along an axis, once."""
        moved = np.moveaxis(array, axes, (-2, -1))
        for axis in range(moved.ndim - 2):
            first = np.take(moved, [0], axis) if moved.shape[axis] else moved
            if np.array_equal(np.broadcast_to(first, moved.shape), moved, equal_nan=moved.dtype.kind == "f"):
                moved = first
        return moved


def _moved(graph: ir.Graph, inputs: set[str]) -> Iterator[str]:
    """The values that depend on what the inputs hold, not on their sizes alone."""
    moved = set(inputs)
    for node in graph:
        names = {str(value.name) for value in read(node)}
        if node.op_type not in ("Shape", "Size") and names & moved:
            moved |= {str(output.name) for output in node.outputs}
    yield from moved


def _by_distance(array: Array) -> Table | None:
    """What an array [..., i, j] says of i - j; None if it says different things of one distance."""
    rows, columns = array.shape[-2:]
    found = np.concatenate([array[..., 0, ::-1], array[..., 1:, 0]], -1)
    table = Table(found, 1 - columns)
    for row in range(rows):
        start = columns - 1 + row
        same = found[..., start - columns + 1 : start + 1][..., ::-1]
        if not np.array_equal(array[..., row, :], same, equal_nan=array.dtype.kind == "f"):
            return None
    return table


def _agree(some: Table, more: Table) -> bool:
    part = more.between(some.first, some.last).values
    return some.first >= more.first and bool(np.all(part == some.values))


def _widths(graph: ir.Graph, name: str) -> tuple[list[int], bool]:
    """Constants and lengths that a value is made of which may be a number of steps, and whether one is too large."""
    made = {str(output.name): node for node in graph for output in node.outputs}
    open_ends, seen, found = [name], {name}, set[int]()
    while open_ends:
        node = made.get(open_ends.pop())
        if node is not None:
            found |= step_counts(node, _WIDEST)
            names = {str(value.name) for value in read(node) if value.const_value is None} - seen
            seen |= names
            open_ends += names
    wide = {many for many in found if many >= min(_STEPS)}
    return [many for many in wide if many <= _WIDEST], any(many > _WIDEST for many in wide)
