"""Lists of tensors as what they are: elements of one tensor, one after the other, and single tensors between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .values import Pick, Value, root

Picks = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Series:
    """Elements `start`, `start + stride` ... of `base` along `dim`, `count` of them, and of `path` within each."""

    base: Value
    dim: int
    start: int
    stride: int
    count: int
    path: Picks

    @property
    def low(self) -> int:
        """The lowest index."""
        return self.start if self.stride == 1 else self.start - self.count + 1


def picks(value: Value) -> Picks:
    """The picks that lead from a value's root to it, innermost first."""
    return (*picks(value.base), (value.dim, value.index)) if isinstance(value, Pick) else ()


def picked(value: Value, path: Picks) -> Value:
    """The element that these picks lead to."""
    for dim, index in path:
        value = Pick(value, dim, index)
    return value


def series(values: Sequence[Value]) -> Series | None:
    """All the values as one series, forwards or backwards; None if they are not."""
    paths = [picks(value) for value in values]
    if len(values) < 2 or len({root(value) for value in values}) != 1:
        return None
    if len({tuple(dim for dim, _ in path) for path in paths}) != 1:
        return None
    varying = [i for i, at in enumerate(zip(*paths, strict=True)) if len(set(at)) > 1]
    if len(varying) != 1:
        return None
    at = varying[0]
    indices = [path[at][1] for path in paths]
    stride = indices[1] - indices[0]
    if abs(stride) != 1 or indices != [indices[0] + k * stride for k in range(len(indices))]:
        return None
    base = picked(root(values[0]), paths[0][:at])
    return Series(base, paths[0][at][0], indices[0], stride, len(values), paths[0][at + 1 :])


def grouped(values: Sequence[Value]) -> list[Series | Value]:
    """The list cut into the longest series and single values."""
    found: list[Series | Value] = []
    rest = list(values)
    while rest:
        count = 1
        while count < len(rest) and series(rest[: count + 1]) is not None:
            count += 1
        whole = series(rest[:count])
        found.append(rest[0] if whole is None else whole)
        del rest[:count]
    return found
