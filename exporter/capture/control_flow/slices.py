"""Slices of tensors between computed places, `data[offset : offset + size]`: their length is known as an expression.

PyTorch takes the length of such a slice for a number of its own, since Python cuts it off at the end of the tensor.
Here it is what the places say, and the finished file refuses any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import SymInt, Tensor

from ...torch_internals.symbols import expression, is_unbacked
from ..pieces import END, piece
from .numbers import Ranges, as_number, as_plain, as_tensor, is_data_dependent
from .region import dimension_of


@dataclass(frozen=True)
class Slices:
    """Reads and writes slices with what is known of the numbers of a capture."""

    ranges: Ranges

    def read(self, tensor: Tensor, index: Sequence[Any]) -> tuple[Tensor, list[Any]]:
        """A tensor with the computed slices of an index taken out of it, and what remains of the index."""
        parts = list(index)
        for at, part in enumerate(parts):
            bounds = _computed(part)
            if bounds is None:
                continue
            dim = dimension_of(parts, at, tensor.dim())
            bounds = self._within(tensor.shape[dim], *bounds)
            if self._may_be_cut_off(tensor.shape[dim], *bounds):
                continue
            tensor = self._taken(tensor, dim, *bounds)
            parts[at] = slice(None)
        return tensor, parts

    def written(self, tensor: Tensor, index: Any, value: Any) -> tuple[Any, Any]:
        """The index and the value of a write to a computed slice, as those of one to the whole dimension."""
        parts = list(index) if isinstance(index, tuple) else [index]
        found = [at for at, part in enumerate(parts) if _computed(part) is not None]
        others = [part for at, part in enumerate(parts) if at not in found]
        if len(found) != 1 or not all(isinstance(part, (int, SymInt)) or part == slice(None) for part in others):
            return index, value
        at = found[0]
        whole = (*parts[:at], slice(None), *parts[at + 1 :])
        bounds = _computed(parts[at])
        assert bounds is not None
        old = tensor[whole]
        dim = sum(isinstance(part, slice) for part in parts[:at])
        start, stop, size = self._places(old.shape[dim], *self._within(old.shape[dim], *bounds))
        shape = [*old.shape[:dim], size, *old.shape[dim + 1 :]]
        new = as_tensor(value).to(old.dtype).expand(shape)
        before = piece(old, dim, 0, start, start)
        after = piece(old, dim, stop, END, old.shape[dim] - stop)
        return whole, torch.cat([before, new, after], dim)

    def _within(self, length: Any, start: Any, stop: Any) -> tuple[Any, Any]:
        """The places of a slice that may reach past the end of its dimension, as the last of several blocks."""
        is_ahead = all(place is not None and self.ranges.at_least(place, 0) for place in (start, stop))
        if not is_ahead or not self._may_be_cut_off(length, start, stop):
            return start, stop
        first = start if self.ranges.at_most(start, length) else torch.sym_min(start, length)
        return first, torch.sym_min(stop, length)

    def _may_be_cut_off(self, length: Any, start: Any, stop: Any) -> bool:
        """Whether a slice that depends on steps and sizes alone is not known to lie within its dimension."""
        places = [place for place in (start, stop) if place is not None]
        symbols = {symbol for place in places for symbol in expression(place).free_symbols if is_unbacked(symbol)}
        if not symbols <= {step for place in places for step in self.ranges.steps_in(place)}:
            return False
        return not all(self.ranges.at_least(place, 0) and self.ranges.at_most(place, length) for place in places)

    def _taken(self, tensor: Tensor, dim: int, start: Any, stop: Any) -> Tensor:
        size = self._places(tensor.shape[dim], start, stop)[2]
        taken: Tensor = piece(tensor, dim, 0 if start is None else start, END if stop is None else stop, size)
        return taken

    def _places(self, length: Any, start: Any, stop: Any) -> tuple[Any, Any, Any]:
        """Where a slice of a dimension begins and ends, counted from its beginning, and its length."""
        first = 0 if start is None else self._from_front(start, length)
        last = length if stop is None else self._from_front(stop, length)
        return first, last, as_plain(last - first)

    def _from_front(self, place: Any, length: Any) -> Any:
        return length + place if self.ranges.at_most(place, -1) or _is_negated(place) else place


def _is_negated(place: Any) -> bool:
    """Whether a place is `-n`, where `n` may be any number that is carried or read."""
    return all(factor < 0 for factor in expression(place).as_coefficients_dict().values())


def _computed(part: Any) -> tuple[Any, Any] | None:
    """The start and the stop of a slice of which one depends on a value or a step; None for anything else."""
    if not isinstance(part, slice) or part.step not in (None, 1):
        return None
    start, stop = (as_number(place) if isinstance(place, Tensor) else place for place in (part.start, part.stop))
    return (start, stop) if is_data_dependent(start) or is_data_dependent(stop) else None


def is_computed(part: slice) -> bool:
    return _computed(part) is not None


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, or a tensor of one."""
    if isinstance(value, Tensor):
        return value.dim() == 0 and value.dtype in (torch.int64, torch.int32)
    return isinstance(value, (int, SymInt)) and not isinstance(value, bool)
