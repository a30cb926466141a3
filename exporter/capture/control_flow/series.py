"""What a loop of unknown length runs over: how many items, and how one of them is read.

A list that a loop has filled holds one `Collected` in place of as many items as there were steps, and everything that
reads it here knows what stands in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import SymInt, Tensor

from ...errors import type_in_words
from ...torch_internals.modules import tree_flatten
from .collected import Collected, flipped, listed, single
from .numbers import as_plain, is_symbolic
from .refusals import UnrolledError


@dataclass(frozen=True)
class Series:
    """`count` items; `item(i)` is the one at `i`, a number from 0 on that may be symbolic."""

    count: Any
    item: Callable[[Any], Any]

    def __iter__(self) -> NoReturn:
        raise UnrolledError("the number of items is not known")

    __bool__ = __len__ = __iter__


@dataclass(frozen=True)
class Range(Series):
    """`range(start, ..., step)` of `count` numbers."""

    start: Any = 0
    step: int = 1


def range_of(*bounds: Any, nonnegative: Callable[[Any], bool]) -> Range | range:
    """`range` with bounds that may be symbolic."""
    start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if not any(map(is_symbolic, (start, stop, step))):
        return range(*map(as_plain, bounds))
    if is_symbolic(step):
        raise UnrolledError("the stride of a range depends on a size")
    span = stop - start if step > 0 else start - stop
    # Of a span that may be negative Python makes no steps.
    whole = span if nonnegative(span) else torch.sym_max(span, 0)
    stride = abs(step)
    count = whole if stride == 1 else (whole + (stride - 1)) // stride
    return Range(count, lambda i: start + i * step, start, step)


def is_series(value: object) -> bool:
    """Whether a value has a number of items that is not known."""
    return isinstance(value, Series) or holds_collected(value)


def holds_collected(value: object) -> bool:
    return isinstance(value, (list, tuple)) and any(isinstance(part, Collected) for part in value)


def rows(tensor: Tensor) -> Series:
    return Series(tensor.shape[0], lambda i: tensor.select(0, i))


def series_of(value: Any) -> Series:
    """Anything that a loop can run over as a series."""
    if isinstance(value, Series):
        return value
    if isinstance(value, Tensor):
        return rows(value)
    if isinstance(value, range):
        return Range(len(value), lambda i: value.start + i * value.step, value.start, value.step)
    if isinstance(value, (list, tuple)):
        if not holds_collected(value):
            items = list(value)
            return Series(len(items), lambda i: listed(items).item(i) if is_symbolic(i) else items[i])
        whole = listed(list(value))
        return Series(whole.count, whole.item)
    raise UnrolledError(f"it runs over {type_in_words(value)} of unknown length")


def count_of(value: Any) -> Any:
    """`len` of anything."""
    if isinstance(value, Series):
        return value.count
    if isinstance(value, Tensor):
        return value.shape[0]
    if holds_collected(value):
        return sum((part.count if isinstance(part, Collected) else 1 for part in value[1:]), start=_one(value[0]))
    return len(value)


def _one(part: Any) -> Any:
    return part.count if isinstance(part, Collected) else 1


def item_of(value: Any, i: Any) -> Any:
    """`value[i]` of a list with collected items, or of a series."""
    if isinstance(value, Series):
        return value.item(i if not _is_negative(i) else value.count + i)
    if not is_symbolic(i):
        found = _near_an_end(value, as_plain(i))
        if found is not None:
            return found[0]
    whole = listed(list(value))
    return whole.item(whole.count + i if _is_negative(i) else i)


def _is_negative(i: Any) -> bool:
    return not isinstance(i, SymInt) and i < 0


def _near_an_end(items: Sequence[Any], i: int) -> tuple[Any] | None:
    """The item at `i` from the nearer end, in a tuple, if it can be told without joining the list."""
    order, distance = (list(items), i) if i >= 0 else (list(reversed(items)), -1 - i)
    for part in order:
        if isinstance(part, Collected):
            return (part.item(distance if i >= 0 else part.count - 1 - distance),)
        if distance == 0:
            return (part,)
        distance -= 1
    return None


def sliced(value: Any, part: slice) -> Any:
    """`value[part]` of a list with collected items, or of a series."""
    if isinstance(value, Series):
        return _sliced_series(value, part)
    if part.start is None and part.stop is None and part.step == -1:
        return type(value)(map(flipped, reversed(value)))
    step = 1 if part.step is None else part.step
    whole = listed(list(value))
    if step < 0:
        if part.start is not None or part.stop is not None:
            raise UnrolledError("a list of unknown length is sliced backwards")
        whole, step = flipped(whole), -step
    first = tree_flatten(whole.stacked)[0][0][part.start : part.stop : step]
    return type(value)([whole.map(lambda leaf: leaf[part.start : part.stop : step], first.shape[0])])


def _sliced_series(value: Series, part: slice) -> Series:
    start, step = part.start or 0, part.step or 1
    if part.start is None and part.stop is None and step == -1:
        return Series(value.count, lambda i: value.item(value.count - 1 - i))
    if step != 1 or _is_negative(start) or (part.stop is not None and not (_is_negative(part.stop))):
        raise UnrolledError("it runs over a part of a sequence of unknown length")
    stop = value.count + (part.stop or 0)
    return Series(stop - start, lambda i: value.item(start + i))


def zipped(*values: Any) -> Series:
    parts = [series_of(value) for value in values]
    counts = [part.count for part in parts]
    count = counts[0]
    for other in counts[1:]:
        if str(other) != str(count):
            count = torch.sym_min(count, other)
    return Series(count, lambda i: tuple(part.item(i) for part in parts))


def enumerated(value: Any, start: Any = 0) -> Series:
    part = series_of(value)
    return Series(part.count, lambda i: (start + i, part.item(i)))


def reverse(value: Any) -> Series:
    part = series_of(value)
    return Series(part.count, lambda i: part.item(part.count - 1 - i))


def unbound(tensor: Tensor, dim: int = 0) -> tuple[Collected]:
    """`tensor.unbind(dim)` of a dimension whose size is not known."""
    moved = tensor.movedim(dim, 0)
    return (Collected(moved.shape[0], moved),)


def split_by_one(tensor: Tensor, dim: int = 0) -> tuple[Collected]:
    """`tensor.split(1, dim)`: as `unbound`, with the dimension kept."""
    moved = tensor.movedim(dim, 0)
    return (Collected(moved.shape[0], moved.unsqueeze(dim % tensor.dim() + 1)),)


def split_evenly(tensor: Tensor, size: int, dim: int = 0) -> tuple[Collected]:
    """`tensor.split(size, dim)` of a dimension that is a multiple of the size."""
    count = tensor.shape[dim] // size
    return (Collected(count, tensor.unflatten(dim, (count, size)).movedim(dim % tensor.dim(), 0)),)


def iterate(value: Any) -> Iterator[Any]:
    """The items of a series whose number is plain."""
    part = series_of(value)
    return (part.item(i) for i in range(as_plain(part.count)))


def perhaps(condition: Tensor, item: Any) -> Collected:
    """A list item that is there if a condition holds: one or none."""
    one = single(item)
    places = condition.reshape(1).nonzero().squeeze(1)
    return one.map(lambda leaf: leaf.index_select(0, places), places.shape[0])
