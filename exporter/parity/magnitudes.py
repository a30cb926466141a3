"""Group the elements of an output by channel and magnitude, so that no element is judged by far larger ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

# A group of fewer elements is too small to say how far rounding may move them.
FEW = 64

# Magnitudes this many octaves apart, with nothing in between, are of different kinds: a filler of -1e9 among logits.
_GAP = 10

# An element is grouped with those up to 2**4 times as large: sums of both are where its rounding errors come from.
_REACH = 4

# Octaves outside, of denormal and of overflowing numbers, count as these.
_LOWEST, _HIGHEST = -160, 160


@dataclass(frozen=True)
class Groups:
    """The elements of an array by channel and octave.

    `index` is [n], for each element its place in a table [C, B] of channels and octaves; `counts` is such a table. What
    a table says of an element is taken from `near`: its own octave, all smaller ones of its kind, and larger ones up to
    `_REACH` octaves, or as many as hold `FEW` elements and a quarter of its kind. `whole` is all of its kind.
    """

    index: Ints
    counts: Floats

    @classmethod
    def of(cls, values: Floats, channel: Ints, channels: int) -> Groups:
        """Group `values` [n], finite, of which `channel` [n] says the channel; zero is as small as the smallest."""
        octave = np.clip(np.frexp(values)[1], _LOWEST, _HIGHEST)
        others = octave[values != 0]
        low, high = (int(others.min()), int(others.max())) if others.size else (0, 0)
        width = high - low + 1
        index = (channel * width + np.where(values == 0, 0, octave - low)).astype(np.intp)
        counts = np.bincount(index, minlength=channels * width).reshape(channels, width).astype(np.float64)
        return cls(index, counts)

    def near(self, values: Floats) -> Floats:
        """For each element the largest of `values` [n], none negative, among those near it."""
        return self._taken(values, self._reach).reshape(-1)[self.index]

    def whole(self, values: Floats) -> Floats:
        """For each element the largest of `values` [n], none negative, among all of its kind."""
        return self._taken(values, self._last).reshape(-1)[self.index]

    @property
    def kind(self) -> Ints:
        """For each element the place of the first octave of its kind in a table [C, B], flattened."""
        rows = np.arange(len(self.counts))[:, None] * self.counts.shape[1]
        return np.asarray((rows + self._first).reshape(-1)[self.index])

    @property
    def lowest(self) -> NDArray[np.bool_]:
        """The table [C, B] of what is of the kind of the smallest elements of its channel."""
        return np.asarray(self._first == self._first[:, :1])

    def _taken(self, values: Floats, octave: Ints) -> Floats:
        table: Floats = np.zeros(self.counts.shape)
        np.maximum.at(table.reshape(-1), self.index, values)
        for b in range(1, table.shape[1]):
            same = self._first[:, b] == self._first[:, b - 1]
            table[:, b] = np.where(same, np.maximum(table[:, b], table[:, b - 1]), table[:, b])
        return np.take_along_axis(table, octave, axis=1)

    @cached_property
    def _first(self) -> Ints:
        """The table [C, B] of the first octave of each kind."""
        first = np.zeros(self.counts.shape, np.intp)
        start = np.zeros(len(self.counts), np.intp)
        below, gap = np.zeros(len(self.counts)), np.zeros(len(self.counts))
        for b in range(self.counts.shape[1]):
            held = self.counts[:, b]
            starts = (held > 0) & (gap >= _GAP) & (below >= FEW)
            start = np.where(starts, b, start)
            below = np.where(starts, 0, below) + held
            gap = np.where(held > 0, 0, gap + 1)
            first[:, b] = start
        return first

    @cached_property
    def _last(self) -> Ints:
        """The table [C, B] of the last octave of each kind."""
        last = np.full(self.counts.shape, self.counts.shape[1] - 1, np.intp)
        for b in reversed(range(self.counts.shape[1] - 1)):
            same = self._first[:, b] == self._first[:, b + 1]
            last[:, b] = np.where(same, last[:, b + 1], b)
        return last

    @cached_property
    def _reach(self) -> Ints:
        """The table [C, B] of the last octave that is near."""
        octaves = np.arange(self.counts.shape[1])
        total = np.cumsum(self.counts, axis=1)
        before = np.take_along_axis(total, self._first, 1) - np.take_along_axis(self.counts, self._first, 1)
        held = total - before
        needed = np.maximum(FEW, np.take_along_axis(held, self._last, 1) / 4)
        # Within a kind `held` grows, so that the first octave that holds enough is as many as do not.
        enough = self._first + _lacking(held, needed, self._first)
        return np.asarray(np.minimum(np.maximum(enough, octaves + _REACH), self._last), np.intp)


def _lacking(held: Floats, needed: Floats, first: Ints) -> Ints:
    """The table [C, B] of how many octaves of its kind hold too little."""
    short = (held < needed).astype(np.intp)
    lacking = np.zeros(held.shape, np.intp)
    width = held.shape[1]
    for start in range(width):
        here = first == start
        if here.any():
            lacking += here * (short * here).sum(axis=1, keepdims=True)
    return lacking
