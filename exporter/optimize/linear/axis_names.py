"""Name the axes of sequences by their lengths, and guess which of those of a fixed size belong together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ..graph import Array
from .algebra import TIME, Axis, Factor
from .definition import Wide
from .regions import Lengths

# Names of axes: those of dynamic sizes count from 1 on, those of heads from HEAD on.
HEAD, KEY, VALUE = 1_000, 2_000, 2_001


class AxisNames:
    """Names of axes: those that are equally long in every run have one name."""

    def __init__(self, lengths: Lengths) -> None:
        self._lengths = lengths
        self._names: dict[tuple[int, ...], int] = {lengths.steps: TIME}

    def of_output(self, value: ir.Value) -> Iterator[tuple[Axis, ...]]:
        """The axes of an output, of which any fixed one may be the value's, or none; the others are heads."""
        (time,) = self._lengths.along_time(value)
        dims = self._lengths.of(value)
        fixed = [at for at, axis in enumerate(dims) if {*axis} != {1} and self._is_fixed(axis)]
        for last in [*reversed(fixed), None]:
            yield tuple(
                TIME
                if at == time
                else None
                if {*axis} == {1}
                else VALUE
                if at == last
                else HEAD + at
                if at in fixed
                else self._name(axis)
                for at, axis in enumerate(dims)
            )

    def named(
        self, value: ir.Value, heads: Sequence[int], last: int | None, sizes: Mapping[int, int]
    ) -> Iterator[Factor]:
        """The ways in which a value's fixed axes are some of the heads, and `last`."""
        dims = self._lengths.of(value)
        fixed = [at for at, axis in enumerate(dims) if {*axis} != {1} and self._is_fixed(axis)]
        known = [*heads, *([] if last is None else [last])]
        for names in itertools.permutations(known, len(fixed)):
            if last is not None and last not in names:
                continue
            if any(name in sizes and sizes[name] != dims[at][0] for name, at in zip(names, fixed, strict=True)):
                continue
            chosen = dict(zip(fixed, names, strict=True))
            yield Factor(
                value,
                tuple(
                    None if {*axis} == {1} else chosen[at] if at in chosen else self._name(axis)
                    for at, axis in enumerate(dims)
                ),
            )

    def _is_fixed(self, axis: tuple[int, ...]) -> bool:
        return len({*axis}) == 1

    def _name(self, axis: tuple[int, ...]) -> int:
        return self._names.setdefault(axis, len(self._names))


def ordered(array: Array, axes: Sequence[Axis], order: Sequence[Axis]) -> Wide:
    """An array with its axes in this order, and axes of length 1 for those that it lacks."""
    kept = [axis for axis in axes if axis is not None]
    plain = np.asarray(array, np.float64).reshape(
        [n for n, axis in zip(array.shape, axes, strict=True) if axis is not None]
    )
    moved = plain.transpose([kept.index(axis) for axis in order if axis in kept])
    lengths = iter(moved.shape)
    return moved.reshape([next(lengths) if axis in kept else 1 for axis in order])
