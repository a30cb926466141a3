"""What a loop of unknown length has put in a list: one `Collected` in place of as many items as there were steps.

The list stays the user's own. Items whose size is another one in every step are `Ragged`: one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...torch_internals.capture import check
from ...torch_internals.modules import register_pytree_node, tree_flatten, tree_leaves, tree_map, tree_unflatten
from ..pieces import piece
from .numbers import as_number, as_tensor, is_symbolic
from .refusals import UnrolledError


@dataclass(frozen=True)
class Collected:
    """`count` items of a list: a structure like one item, whose tensors have the items along dimension 0.

    `numbers` says which leaves of an item are numbers, kept as a tensor of them.
    """

    count: Any
    stacked: Any
    numbers: tuple[bool, ...] = ()

    def item(self, i: Any) -> Any:
        leaves, form = tree_flatten(self.stacked)
        numbers = self.numbers or (False,) * len(leaves)
        parts = [leaf.select(0, i) for leaf in leaves]
        return tree_unflatten(
            [as_number(part) if number else part for part, number in zip(parts, numbers, strict=True)], form
        )

    def first(self) -> Tensor:
        """One of the tensors that hold the items."""
        leaf: Tensor = tree_leaves(self.stacked)[0]
        return leaf

    def with_item(self, place: Any, item: Any) -> Collected:
        """The same with another item at a place."""
        leaves, form = tree_flatten(self.stacked)
        new, form_of_item = tree_flatten(item)
        if form != form_of_item:
            raise UnrolledError("an item of another structure is put in a list of unknown length")
        return Collected(
            self.count, tree_unflatten(list(map(_written, leaves, [place] * len(new), new)), form), self.numbers
        )

    def map(self, function: Callable[[Tensor], Tensor], count: Any) -> Collected:
        return Collected(count, tree_map(function, self.stacked), self.numbers)

    def flipped(self) -> Collected:
        return self.map(lambda leaf: leaf.flip(0), self.count)

    def concatenated(self, dim: int) -> Tensor:
        """The items one after the other along a dimension."""
        rows: Tensor = self.stacked
        dim = dim % (rows.dim() - 1)
        return rows.movedim(0, dim).flatten(dim, dim + 1)


class Repeated(Collected):
    """`[number] * count`."""

    def __init__(self, count: Any, number: int) -> None:
        super().__init__(count, torch.full((count,), number, dtype=torch.int64), (True,))
        vars(self).update(number=number)

    number: int


class Ragged(Collected):
    """Tensors of a list that differ in size along one dimension, one after the other along it, and their sizes."""

    def __init__(self, flat: Tensor, sizes: Tensor, dim: int) -> None:
        vars(self).update(count=sizes.shape[0], numbers=(), flat=flat, sizes=sizes, dim=dim)

    flat: Tensor
    sizes: Tensor
    dim: int

    def __repr__(self) -> str:
        return f"Ragged({self.count})"

    @property
    def stacked(self) -> Any:
        raise UnrolledError(
            "a list of tensors whose size is another one in every step is used other than by torch.cat along that "
            "size, by pad_sequence, or item by item"
        )

    def map(self, function: Callable[[Tensor], Tensor], count: Any) -> Collected:
        return Collected(count, self.stacked)

    def item(self, i: Any) -> Tensor:
        size = as_number(self.sizes.select(0, i))
        start = as_number((self.sizes.cumsum(0) - self.sizes).select(0, i))
        check(size >= 0)
        taken: Tensor = piece(self.flat, self.dim, start, start + size, size)
        return taken

    def flipped(self) -> Ragged:
        index, is_there = self._grid()
        places = is_there.flip(0).flatten().nonzero().squeeze(1)
        index = index.flip(0).flatten().index_select(0, places)
        check(index.shape[0] == self.flat.shape[self.dim])
        return Ragged(self.flat.index_select(self.dim, index), self.sizes.flip(0), self.dim)

    def concatenated(self, dim: int) -> Tensor:
        if dim % self.flat.dim() != self.dim:
            raise UnrolledError("tensors whose size differs from step to step are joined along another dimension")
        return self.flat

    def padded(self, value: float) -> Tensor:
        """[count, longest, *], filled up with a value."""
        if self.dim:
            raise UnrolledError("tensors are padded along another dimension than their first")
        index, is_there = self._grid()
        rows = self.flat.index_select(0, torch.where(is_there, index, 0).flatten())
        rows = rows.reshape(*index.shape, *rows.shape[1:])
        return rows.masked_fill(~is_there.reshape(*index.shape, *[1] * (rows.dim() - 2)), value)

    def _grid(self) -> tuple[Tensor, Tensor]:
        """Of each item and each place up to the longest: where it is in `flat`, and whether there is one."""
        starts = self.sizes.cumsum(0) - self.sizes
        longest = as_number(torch.cat([self.sizes, self.sizes.new_zeros(1)]).amax(0))
        check(longest >= 0)
        places = torch.arange(longest)
        return starts.unsqueeze(1) + places, places < self.sizes.unsqueeze(1)


def listed(items: Sequence[Any]) -> Collected:
    """All items of a list as one `Collected`.

    Raises:
        UnrolledError: they differ in form.
    """
    if len(items) == 1 and isinstance(items[0], Collected):
        return items[0]
    ragged = next((part for part in items if isinstance(part, Ragged)), None)
    if ragged is not None:
        return _joined(items, ragged.dim)
    parts = [part if isinstance(part, Collected) else single(part) for part in items]
    forms = {str(tree_flatten(part.stacked)[1]) for part in parts}
    if len(forms) != 1:
        raise UnrolledError("a list holds items of different structure")
    leaves = zip(*(tree_flatten(part.stacked)[0] for part in parts), strict=True)
    joined = [torch.cat([part.to(group[-1].dtype) for part in group]) for group in leaves]
    form = tree_flatten(parts[0].stacked)[1]
    count = sum((part.count for part in parts[1:]), start=parts[0].count)
    numbers = next((part.numbers for part in parts if part.numbers), ())
    return Collected(count, tree_unflatten(joined, form), numbers)


def _joined(items: Sequence[Any], dim: int) -> Ragged:
    parts = [_as_ragged(part, dim) for part in items]
    flat = torch.cat([part.flat for part in parts], dim)
    return Ragged(flat, torch.cat([part.sizes for part in parts]), dim)


def _as_ragged(part: Any, dim: int) -> Ragged:
    if isinstance(part, Ragged):
        return part
    whole = part if isinstance(part, Collected) else single(part)
    if not isinstance(whole.stacked, Tensor) or any(whole.numbers):
        raise UnrolledError("a list holds items of different structure")
    size = as_tensor(whole.stacked.shape[dim + 1])
    return Ragged(whole.concatenated(dim), size.reshape(1).expand(whole.count), dim)


def _written(stacked: Tensor, place: Any, item: Any) -> Tensor:
    copy = stacked.clone()
    copy[place] = as_tensor(item).to(copy.dtype)
    return copy


def single(item: Any) -> Collected:
    leaves, form = tree_flatten(item)
    if not all(isinstance(leaf, (Tensor, int, float, bool)) or is_symbolic(leaf) for leaf in leaves):
        raise UnrolledError("a list of unknown length holds something else than tensors and numbers")
    numbers = tuple(not isinstance(leaf, Tensor) for leaf in leaves)
    return Collected(1, tree_unflatten([as_tensor(leaf).unsqueeze(0) for leaf in leaves], form), numbers)


def flipped(part: Any) -> Any:
    return part.flipped() if isinstance(part, Collected) else part


def _flattened(whole: Collected) -> tuple[list[Any], Any]:
    return [whole.stacked], whole.numbers


def _unflattened(parts: Iterable[Any], numbers: Any) -> Collected:
    (stacked,) = parts
    leaf = tree_leaves(stacked)[0]
    return Collected(leaf.shape[0] if isinstance(leaf, Tensor) else 0, stacked, numbers)


register_pytree_node(Collected, _flattened, _unflattened)
