"""What a part of a graph may be: which sequence is the query, the key, the value, the decay and the rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array
from .algebra import TIME, Axis, Factor
from .axis_names import HEAD, KEY, VALUE, ordered
from .definition import Wide, attend

# Relative to the largest number, in float64.
EQUAL = 1e-9


@dataclass(frozen=True)
class Roles:
    """The operator that a region is, times `scale`; `axes` are those of its output, whose time may be padded.

    The decay is e to the power of `rates` times `decay`, or of `rates` alone; rates are one number or one for each of
    `heads`. The value is a product with `weights`, which have an element for each step and head.
    """

    axes: tuple[Axis, ...]
    query: Factor
    key: Factor
    value: Factor | None
    weights: tuple[Factor, ...] = ()
    decay: Factor | None = None
    rates: Wide | None = None
    rate: Factor | None = None
    scale: float = 1.0

    @property
    def streams(self) -> tuple[int, ...]:
        return tuple(axis for axis in self.axes if axis is not None and 0 < axis < HEAD)

    @property
    def heads(self) -> tuple[int, ...]:
        return tuple(axis for axis in self.axes if axis is not None and HEAD <= axis < KEY)

    def computed(self, given: Mapping[str, Array]) -> Wide:
        """What the operator gives for these sequences, without the scale, as the region's output is laid out."""
        streams, heads = self.streams, self.heads

        def of(factor: Factor, last: Sequence[Axis]) -> Wide:
            return ordered(given[str(factor.value.name)], factor.axes, [*streams, TIME, *heads, *last])

        query, key = of(self.query, [KEY]), of(self.key, [KEY])
        value: Wide = (
            np.ones((*[1] * (len(streams) + len(heads) + 2),)) if self.value is None else of(self.value, [VALUE])
        )
        value = value * np.ones((*query.shape[:-1], 1))
        for weight in self.weights:
            value = value * of(weight, [None])
        logarithms = None if self.decay is None else of(self.decay, [KEY])
        if self.rates is not None:
            rates = self.rates.reshape(*self.rates.shape, 1)
            logarithms = rates if logarithms is None else logarithms * rates
            logarithms = logarithms.reshape(*[1] * (query.ndim - logarithms.ndim), *logarithms.shape)
        rate = None if self.rate is None else of(self.rate, [None])
        got = attend(query, key, value, logarithms, rate, axis=len(streams))
        order = [*streams, TIME, *heads, VALUE]
        own = [axis for axis in self.axes if axis is not None]
        got = got if VALUE in own else got[..., 0]
        got = got.transpose([[axis for axis in order if axis in own].index(axis) for axis in own])
        return got.reshape([1 if axis is None else got.shape[own.index(axis)] for axis in self.axes])


def is_same(left: Wide, right: Wide) -> bool:
    """Whether all is equal; of a padded sequence the left may lack the end, where the right is zero."""
    if left.shape != right.shape:
        if left.ndim != right.ndim or any(a > b for a, b in zip(left.shape, right.shape, strict=True)):
            return False
        left = np.pad(left, [(0, b - a) for a, b in zip(left.shape, right.shape, strict=True)])
    most = float(np.abs(right).max(initial=0))
    return bool(np.isfinite(most)) and bool(np.all(np.abs(left - right) <= EQUAL * most))


def ratio_of(left: Wide, right: Wide) -> float:
    """By what the left is to be multiplied to be nearest to the right."""
    right = right[tuple(slice(0, many) for many in left.shape)]
    if left.shape != right.shape:
        return 0.0
    with np.errstate(all="ignore"):
        found = float((left * right).sum() / (left * left).sum())
    return found if np.isfinite(found) else 0.0
