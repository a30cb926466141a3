"""Which sizes and whole numbers that a loop carries are equal in every step: `h` has `last` rows, and so has `c`.

Those that are equal before the loop are taken for equal, a step is run, and what it leaves parts those that are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...torch_internals.modules import tree_leaves
from ...torch_internals.symbols import expression
from .numbers import as_number
from .state import Slot
from .steps import Carried, Counter, Plan, Step
from .values import Meta

_WHOLE = (torch.int64, torch.int32)


def grouped(carried: Mapping[Slot, Carried | Counter], plan: Plan, done: Step) -> dict[Slot, Carried | Counter]:
    """What is carried, with its sizes in groups; a number is in one only with sizes."""
    places = {
        (slot, k): _key(plan.carried.get(slot), k, meta, begun, now) if slot[0] >= 0 else (slot, k)
        for slot, kept in carried.items()
        if isinstance(kept, Carried)
        for k, (meta, begun, now) in enumerate(_leaves(slot, kept, done))
        if meta.ragged is not None or _is_whole(meta)
    }
    sized = {places[slot, k] for slot, k in places if _meta(carried, slot, k).ragged is not None}
    numbers: dict[object, int] = {}
    for key in places.values():
        if key in sized:
            numbers.setdefault(key, len(numbers))
    return {
        slot: replace(
            kept,
            leaves=tuple(replace(meta, group=numbers.get(places.get((slot, k)))) for k, meta in enumerate(kept.leaves)),
        )
        if isinstance(kept, Carried)
        else kept
        for slot, kept in carried.items()
    }


def _meta(carried: Mapping[Slot, Carried | Counter], slot: Slot, k: int) -> Meta:
    kept = carried[slot]
    assert isinstance(kept, Carried)
    return kept.leaves[k]


def _leaves(slot: Slot, kept: Carried, done: Step) -> list[tuple[Meta, Any, Any]]:
    if slot[0] < 0:
        return [(meta, None, None) for meta in kept.leaves]
    begun, now = tree_leaves(done.before.values[slot]), tree_leaves(done.later(slot))
    begun = begun if len(begun) == len(kept.leaves) else now
    return list(zip(kept.leaves, begun, now, strict=True))


def _key(known: Carried | Counter | None, k: int, meta: Meta, begun: Any, now: Any) -> object:
    """Equal for sizes that are equal, as far as is known: before the loop and, of those known before, after a step."""
    old = known.leaves[k] if isinstance(known, Carried) and k < len(known.leaves) else None
    first = str(expression(_size(meta, begun)))
    if old is None or (old.ragged is None and not _is_whole(old)) or (meta.ragged is not None and old.ragged is None):
        return first, None, None
    return first, old.group, str(expression(_size(meta, now)))


def _size(meta: Meta, value: Any) -> Any:
    if meta.ragged is not None:
        return value.shape[meta.ragged]
    return as_number(value) if isinstance(value, Tensor) else value


def _is_whole(meta: Meta) -> bool:
    return not meta.shape and meta.dtype in _WHOLE
