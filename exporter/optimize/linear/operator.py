"""Write a recurrence of linear attention as one operator: `LinearAttention` of ONNX Runtime, or of ONNX 27.

Source: the operators' schemas in ONNX 1.23 and ONNX Runtime 1.32. The operator reads the state after each update; where
a model reads it before, queries stay and all else comes one step later, with a step that changes nothing in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log, prod

import numpy as np
import onnx_ir as ir

from ..graph import array_of, constant_like
from ..loops.scan_loop import ScanLoop
from .algebra import TIME, Axis, Factor, Term
from .layout import Extent, Layout
from .matching import Recurrence
from .signs import is_never_negative

OPERATOR = "LinearAttention"
MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Written:
    """What takes the loop's place: its readout for all steps, time in front, and the state's final value."""

    nodes: list[ir.Node]
    readout: ir.Value
    final: ir.Value


@dataclass(frozen=True)
class Place:
    """Where a recurrence is computed: how long its axes are, and the state that it begins with; None for zeros."""

    main: ir.Graph
    extents: Mapping[int, Extent]
    initial: ir.Value | None


def is_writable(loop: ScanLoop, found: Recurrence) -> bool:
    """Whether an operator computes it: sizes are known where they have to be, and a decay has a logarithm."""
    state, initial = loop.body.inputs[found.k], loop.node.inputs[found.k]
    sizes = dict(zip(found.axes, state.shape or (), strict=True))
    fixed = [axis for axis in (found.key_axis, found.value_axis) if axis is not None]
    plain = all(isinstance(sizes[axis], int) for axis in fixed)
    known = all(term.number != 0 for term in (found.readout.query, found.value))
    # Otherwise a key would be copied for each of the value's axes.
    small = found.value_axis is not None or {*found.batch} <= found.key.names
    forward = not any(loop.listed("scan_input_directions", loop.num_elements))
    return plain and known and small and forward and initial is not None and _has_logarithm(found.decay)


def _has_logarithm(decay: tuple[Term, ...]) -> bool:
    """Whether a decay is a product that is never below zero; an infinite S makes S - b S NaN, and (1 - b) S not."""
    return len(decay) < 2 and all(
        term.number > 0 and all(is_never_negative(factor.value) for factor in term.factors) for term in decay
    )


def write(loop: ScanLoop, found: Recurrence, name: str) -> Written:
    """The nodes that compute the recurrence of a loop's state."""
    state, initial = loop.body.inputs[found.k], loop.node.inputs[found.k]
    sequence = loop.node.inputs[loop.num_states]
    assert initial is not None
    assert sequence is not None
    extents = {
        axis: Extent(size, initial, at)
        for at, (axis, size) in enumerate(zip(found.axes, state.shape or (), strict=True))
        if axis is not None
    }
    extents[TIME] = Extent(loop.length, sequence, loop.input_axes[0])
    return write_at(Place(loop.main, extents, initial), found, name)


def write_at(place: Place, found: Recurrence, name: str) -> Written:
    """The nodes that compute a recurrence there."""
    return _Writer(place, found, name).written()


class _Writer:
    """Axes: sizes that are dynamic make the operator's batch, those that are fixed its heads."""

    def __init__(self, place: Place, found: Recurrence, name: str) -> None:
        extents = place.extents
        self._found, self._name, self._initial = found, name, place.initial
        self._layout = Layout(place.main, extents, name, [])
        self._streams = [axis for axis in found.batch if not isinstance(extents[axis].size, int)]
        self._heads = [axis for axis in found.batch if axis not in self._streams]
        self._value_axes = [] if found.value_axis is None else [found.value_axis]
        self._is_shifted = found.readout.is_before

    def written(self) -> Written:
        found, layout = self._found, self._layout
        inputs = [
            self._packed(replace(found.readout.query, number=1.0), [found.key_axis], is_query=True),
            self._packed(found.key, [found.key_axis]),
            self._packed(found.value, self._value_axes),
            self._past(),
            self._decay() if found.decay else None,
            self._packed(found.rate, []) if found.rate is not None else None,
        ]
        while inputs[-1] is None:
            inputs.pop()
        heads = self._size(self._heads)
        node = ir.Node(
            MICROSOFT,
            OPERATOR,
            inputs,
            {
                "update_rule": ir.AttrString("update_rule", found.rule),
                "q_num_heads": ir.AttrInt64("q_num_heads", heads),
                "kv_num_heads": ir.AttrInt64("kv_num_heads", heads),
                "scale": ir.AttrFloat32("scale", found.readout.query.number),
            },
            num_outputs=2,
            name=self._name,
        )
        layout.nodes.append(node)
        y, present = node.outputs
        value = inputs[2]
        assert value is not None
        groups = [self._streams, self._heads, [found.key_axis], self._value_axes]
        y.name, y.type, y.shape = f"{self._name}.Y", value.type, value.shape
        present.name, present.type = f"{self._name}.present_state", value.type
        present.shape = ir.Shape([layout.joint(group) for group in groups])
        readout, final = self._readout(y), self._final(present)
        return Written(layout.nodes, readout, final)

    def _size(self, axes: Iterable[int]) -> int:
        """How many elements axes of fixed sizes have."""
        sizes = [self._layout.extents[axis].size for axis in axes]
        return prod(size for size in sizes if isinstance(size, int))

    def _packed(self, term: Term, last: list[int], *, is_query: bool = False) -> ir.Value:
        """[batch, time, heads and `last`]."""
        axes = [*self._streams, TIME, *self._heads, *last]
        value = self._layout.product(term, axes)
        packed = self._layout.joined(value, axes, [self._streams, [TIME], [*self._heads, *last]])
        return self._shifted(packed, is_query=is_query)

    def _shifted(self, packed: ir.Value, *, is_query: bool) -> ir.Value:
        if not self._is_shifted:
            return packed
        assert packed.shape is not None
        ends = [0, 0, 0, 0, 1, 0] if is_query else [0, 1, 0, 0, 0, 0]
        dims = [packed.shape[0], _one_more(packed.shape[1]), packed.shape[2]]
        return self._layout.node("Pad", [packed, self._layout.numbers(ends)], dims)

    def _decay(self) -> ir.Value:
        """The logarithm of the decay."""
        last = [self._found.key_axis] if self._found.is_key_decayed else []
        axes = [*self._streams, TIME, *self._heads, *last]
        (term,) = self._found.decay
        value = self._log_of_product(term, axes)
        packed = self._layout.joined(value, axes, [self._streams, [TIME], [*self._heads, *last]])
        return self._shifted(packed, is_query=False)

    def _log_of_product(self, term: Term, axes: Sequence[int]) -> ir.Value:
        """The sum of the factors' logarithms, which are the exponents of powers of e."""
        layout = self._layout
        parts = [self._logarithm(factor) for factor in term.factors]
        if term.number != 1 or not parts:
            parts.append(Factor(layout.scalar(log(term.number)), ()))
        total = parts[0]
        for part in parts[1:]:
            names = total.names | part.names
            order = [axis for axis in axes if axis in names]
            left, right = (layout.product(Term(1.0, (each,)), order) for each in (total, part))
            total = Factor(layout.node("Add", [left, right], layout.dims(order) or (1,)), tuple(order))
        return layout.product(Term(1.0, (total,)), axes)

    def _logarithm(self, factor: Factor) -> Factor:
        node = factor.value.producer()
        if node is not None and node.op_type == "Exp" and node.domain == "" and node.inputs[0] is not None:
            return Factor(node.inputs[0], factor.axes)
        constant = array_of(factor.value)
        if constant is not None:
            with np.errstate(divide="ignore"):  # a decay of zero
                logarithm = np.log(constant.astype(np.float64)).astype(np.float32)
            return Factor(constant_like(self._layout.main, f"{factor.value.name}.log", logarithm), factor.axes)
        return Factor(self._layout.node("Log", [factor.value], list(factor.value.shape or (1,))), factor.axes)

    def _state_axes(self) -> list[int]:
        return [*self._streams, *self._heads, self._found.key_axis, *self._value_axes]

    def _past(self) -> ir.Value | None:
        """[batch, heads, key, value]"""
        if self._initial is None:
            return None
        axes = self._state_axes()
        value = self._layout.product(Term(1.0, (Factor(self._initial, self._found.axes),)), axes)
        return self._layout.joined(value, axes, [self._streams, self._heads, [self._found.key_axis], self._value_axes])

    def _final(self, present: ir.Value) -> ir.Value:
        axes = self._state_axes()
        groups = [self._streams, self._heads, [self._found.key_axis], self._value_axes]
        value = self._layout.parted(present, groups, axes)
        return self._in_place(Factor(value, tuple(axes)), self._found.axes)

    def _readout(self, y: ir.Value) -> ir.Value:
        """[time, ...] with the axes of the loop's own value."""
        layout, readout = self._layout, self._found.readout
        assert y.shape is not None
        if self._is_shifted:
            dims = [y.shape[0], layout.extents[TIME].size, y.shape[2]]
            y = layout.node("Slice", [y, layout.numbers([0]), layout.numbers([-1]), layout.numbers([1])], dims)
        own = [*self._streams, TIME, *self._heads, *self._value_axes]
        value = layout.parted(y, [self._streams, [TIME], [*self._heads, *self._value_axes]], own)
        return self._in_place(Factor(value, tuple(own)), (TIME, *readout.axes))

    def _in_place(self, factor: Factor, axes: tuple[Axis, ...]) -> ir.Value:
        return self._layout.product(Term(1.0, (factor,)), axes)


def _one_more(size: int | ir.SymbolicDim) -> int | ir.SymbolicDim:
    if isinstance(size, int):
        return size + 1
    return ir.SymbolicDim(None if size.value is None else f"{size.value} + 1")
