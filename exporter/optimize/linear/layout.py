"""Write products whose axes have names: each with its axes in a given order, and axes joined or taken apart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from ..graph import constant_like
from .algebra import Axis, Factor, Term

Size = int | ir.SymbolicDim


@dataclass(frozen=True)
class Extent:
    """How long an axis is, and where that can be read: a dimension of a value."""

    size: Size
    value: ir.Value
    at: int


@dataclass(frozen=True)
class Layout:
    """Writes float32 nodes for tensors whose axes have these extents; `prefix` names what it writes."""

    main: ir.Graph
    extents: Mapping[int, Extent]
    prefix: str
    nodes: list[ir.Node]

    def node(
        self, op_type: str, inputs: Sequence[ir.Value | None], dims: Sequence[Size] = (), **attributes: object
    ) -> ir.Value:
        """The output of a new node; without dims it is a size, int64[1]."""
        made = ir.node(op_type, inputs, attributes)  # type: ignore[arg-type]
        (result,) = made.outputs
        made.name = result.name = f"{self.prefix}.{op_type.lower()}.{len(self.nodes)}"
        result.type = ir.TensorType(ir.DataType.FLOAT if dims else ir.DataType.INT64)
        result.shape = ir.Shape(list(dims) or [1])
        self.nodes.append(made)
        return result

    def numbers(self, values: Sequence[int]) -> ir.Value:
        return constant_like(self.main, "numbers." + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: float) -> ir.Value:
        return constant_like(self.main, f"number.{np.float32(value):g}", np.array(value, np.float32))

    def dims(self, axes: Sequence[Axis]) -> list[Size]:
        return [1 if axis is None else self.extents[axis].size for axis in axes]

    def product(self, term: Term, axes: Sequence[Axis]) -> ir.Value:
        """A product with all of these axes in this order."""
        covered = set[int]()
        result: ir.Value | None = None
        for factor in sorted(term.factors, key=lambda each: len(each.names)):  # small ones first
            aligned = self._aligned(factor, axes)
            covered |= factor.names
            dims = [1 if axis not in covered else size for axis, size in zip(axes, self.dims(axes), strict=True)]
            result = aligned if result is None else self.node("Mul", [result, aligned], dims)
        if result is None:
            result = self.scalar(term.number)
        elif term.number != 1:
            result = self.node("Mul", [result, self.scalar(term.number)], list(result.shape or ()))
        if covered >= {axis for axis in axes if axis is not None} and term.factors:
            return result
        return self.node(
            "Expand", [result, self.shape([(axis,) if axis is not None else () for axis in axes])], self.dims(axes)
        )

    def joined(self, value: ir.Value, axes: Sequence[Axis], groups: Sequence[Sequence[int]]) -> ir.Value:
        """The value reshaped so that each group of its axes is one."""
        if [(axis,) for axis in axes] == [tuple(group) for group in groups]:
            return value
        return self._reshaped(value, axes, groups)

    def parted(self, value: ir.Value, groups: Sequence[Sequence[int]], axes: Sequence[Axis]) -> ir.Value:
        """The value, of which each axis is a group, with these axes."""
        if [(axis,) for axis in axes] == [tuple(group) for group in groups]:
            return value
        old = [group[0] if len(group) == 1 else None for group in groups]
        return self._reshaped(value, old, [(axis,) if axis is not None else () for axis in axes])

    def ordered(self, value: ir.Value, axes: Sequence[int], order: Sequence[int]) -> ir.Value:
        """The value transposed, axes of length 1 apart."""
        if list(axes) == list(order):
            return value
        return self.node("Transpose", [value], self.dims(order), perm=[list(axes).index(axis) for axis in order])

    def shape(self, groups: Sequence[Sequence[int]], copied: Sequence[Axis] = ()) -> ir.Value:
        """The sizes of joined axes, int64: 0 where a Reshape may copy the size from `copied`, and -1 at most once."""
        parts: list[int | ir.Value] = []
        for at, group in enumerate(groups):
            sizes = [self.extents[axis].size for axis in group]
            known = [size for size in sizes if isinstance(size, int)]
            if len(known) == len(sizes):
                parts.append(prod(known))
            elif at < len(copied) and [copied[at]] == [*group]:
                parts.append(0)
            elif copied and -1 not in [part for part in parts if isinstance(part, int)]:
                parts.append(-1)
            else:
                parts.append(self._size(group))
        if all(isinstance(part, int) for part in parts):
            return self.numbers([part for part in parts if isinstance(part, int)])
        joined = [self.numbers([part]) if isinstance(part, int) else part for part in parts]
        result = self.node("Concat", joined, axis=0)
        result.shape = ir.Shape([len(parts)])
        return result

    def _size(self, group: Sequence[int]) -> ir.Value:
        read = [
            self.numbers([extent.size])
            if isinstance(extent.size, int)
            else self.node("Shape", [extent.value], start=extent.at, end=extent.at + 1)
            for extent in (self.extents[axis] for axis in group)
        ]
        return list(itertools.accumulate(read, lambda a, b: self.node("Mul", [a, b])))[-1]

    def _reshaped(self, value: ir.Value, old: Sequence[Axis], groups: Sequence[Sequence[int]]) -> ir.Value:
        dims = [self.joint(group) for group in groups]
        return self.node("Reshape", [value, self.shape(groups, copied=old)], dims)

    def joint(self, group: Sequence[int]) -> Size:
        """How long joined axes are."""
        sizes = [self.extents[axis].size for axis in group]
        known = [size for size in sizes if isinstance(size, int)]
        return prod(known) if len(known) == len(sizes) else sizes[0] if len(sizes) == 1 else ir.SymbolicDim(None)

    def _aligned(self, factor: Factor, axes: Sequence[Axis]) -> ir.Value:
        """A factor with its axes in their places among `axes`, and axes of length 1 in the others."""
        own = [axis for axis in factor.axes if axis is not None]
        value = factor.value
        if len(own) < len(factor.axes):
            ones = self.numbers([at for at, axis in enumerate(factor.axes) if axis is None])
            value = self.node("Squeeze", [value, ones], self.dims(own) or (1,))
            value.shape = ir.Shape(self.dims(own))
        value = self.ordered(value, own, [axis for axis in axes if axis in own and axis is not None])
        gaps = [at for at, axis in enumerate(axes) if axis not in own]
        if not gaps:
            return value
        dims = [1 if axis not in own else size for axis, size in zip(axes, self.dims(axes), strict=True)]
        return self.node("Unsqueeze", [value, self.numbers(gaps)], dims)
