"""Which tensors that a model keeps lie in the memory of another, so that what is written to one is read from both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .places import Place, places

Index = tuple[int | slice, ...]
# The size and the stride of a dimension.
_Dim = tuple[int, int]


@dataclass(frozen=True)
class View:
    """A tensor that is `base[index]`; with no index it is the very same tensor."""

    base: Place
    index: Index

    def of(self, base: Any) -> Any:
        return base[self.index] if self.index else base


def views(model: nn.Module) -> dict[Place, View]:
    """Each tensor that is another one, or a piece of it, with the first of the largest that share that memory."""
    tensors = [(place, value) for place, value in places(model).items() if isinstance(value, Tensor) and value.numel()]
    found: dict[Place, View] = {}
    bases: dict[int, list[tuple[Place, Tensor]]] = defaultdict(list)
    for place, value in sorted(tensors, key=lambda each: -each[1].numel()):
        known = bases[value.untyped_storage().data_ptr()]
        indices = ((base, _index(whole, value)) for base, whole in known)
        view = next((View(base, index) for base, index in indices if index is not None), None)
        if view is None:
            known.append((place, value))
        else:
            found[place] = view
    return found


def lasting(moments: Sequence[Mapping[Place, View]]) -> dict[Place, View]:
    """The views that are the same at all of these moments."""
    first, *others = moments
    return {place: view for place, view in first.items() if all(each.get(place) == view for each in others)}


def _index(base: Tensor, piece: Tensor) -> Index | None:
    """The whole numbers and slices that make the one of the other; none for the same, None where there are none."""
    if base is piece or _layout(base) == _layout(piece):
        return ()
    if not base.is_contiguous() or base.dtype != piece.dtype:
        return None
    dims = [*zip(base.shape, base.stride(), strict=True)]
    lengths = [*zip(piece.shape, piece.stride(), strict=True)]
    return _searched(dims, lengths, int(piece.storage_offset()) - int(base.storage_offset()))


def _searched(dims: Sequence[_Dim], lengths: Sequence[_Dim], rest: int) -> Index | None:
    """An index for each of the dimensions that leaves those of `lengths`; `rest` elements further on in memory."""
    if not dims:
        return () if not lengths and not rest else None
    (size, stride), *inner = dims
    first, behind = divmod(rest, stride)
    if len(lengths) < len(dims) and first < size:
        later = _searched(inner, lengths, behind)
        if later is not None:
            return (-1 if first == size - 1 else first, *later)
    if not lengths or lengths[0][1] != stride or first + lengths[0][0] > size:
        return None
    later = _searched(inner, lengths[1:], behind)
    return None if later is None else (_slice(first, lengths[0][0], size), *later)


def _slice(first: int, length: int, size: int) -> slice:
    """From the beginning or to the end where it is, since these hold for other sizes too."""
    return slice(first or None, None if first + length == size else first + length)


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def parting(lasted: Mapping[Place, View], also: Collection[Place]) -> str:
    """Of a tensor that some call was seen to keep apart from the one in whose memory it lies after others."""
    return next(
        (
            f"{place} lies in the memory of {view.base} in some calls and not in others. Keep a copy, such as "
            f"{view.base}.clone(), in one of them."
            for place, view in lasted.items()
            if place in also
        ),
        "",
    )
