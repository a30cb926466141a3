"""Learn from a step that was run what a loop carries on from one step to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...torch_internals.modules import is_view, tree_flatten, tree_leaves
from ...torch_internals.symbols import expression
from .collected import Collected
from .equal_sizes import grouped
from .numbers import is_data_dependent, is_symbolic
from .refusals import DifferentFormsError, RaggedError, StepsDifferError, WriteToViewError
from .region import Region
from .series import count_of
from .state import LAST_ITEM, LENGTH, UNDEFINED, WHOLE, Slot, Undefined, name_of
from .steps import Carried, Counter, Plan, Step, leaves_of
from .values import (
    Front,
    Maybe,
    Meta,
    growth_of,
    is_changed,
    is_number,
    meta_of,
    ragged_of,
    same,
    same_but_for,
    widened,
)


def learned(plan: Plan, done: Step) -> Plan:
    """The plan with what one more step showed."""
    carried: dict[Slot, Carried | Counter] = {}
    unread = set(plan.unread)
    # A value that stands where another stood has been read, even if no operator saw it.
    moved = {
        id(leaf)
        for slot, value in done.after.values.items()
        if value is not done.value(slot)
        for leaf in leaves_of(value)
    }
    for slot in [*done.before.values, *(slot for slot in done.placed if slot not in done.before.values)]:
        was, now = done.value(slot), done.later(slot)
        if (WHOLE, slot[0]) in plan.carried or slot[0] == WHOLE:
            continue
        if slot not in plan.unread and (slot in plan.carried or is_changed(was, now)):
            original = done.before.values.get(slot, UNDEFINED)
            kept = _kept(slot, (original, was, now), plan.carried.get(slot), done.region, moved)
            if kept is not None:
                carried[slot] = kept
            elif slot in plan.carried:
                unread.add(slot)
    carried |= _ends_of_lists(plan, done)
    written = {**plan.written, **{key: tensor for key, (tensor, _) in done.region.written.items()}}
    written |= {id(tensor): _base_of(tensor) for tensor in done.region.through_views}
    targets = [id(write.target) for write in done.region.step_writes]
    read_back = {key for key in targets if key in done.region.read or key in written or targets.count(key) > 1}
    is_stopped = done.stops is not None and not isinstance(done.stops, bool)
    carried = grouped(carried, plan, done)
    return Plan(carried, written, plan.direct | read_back, frozenset(unread), is_stopped)


def _base_of(tensor: Tensor) -> Tensor:
    """A tensor that a step writes to through a view that it makes of it."""
    if is_view(tensor):
        raise WriteToViewError
    return tensor


def check_items(plan: Plan, done: Step) -> None:
    """Of what a step puts in a list no size may be another one in every step.

    Raises:
        RaggedError: one is.
    """
    number = expression(done.number)
    for (owner, key), value in done.after.values.items():
        container = done.before.containers.get(owner)
        if not isinstance(container, list) or (owner, key) in done.before.values or (WHOLE, owner) in plan.carried:
            continue
        sizes = [size for leaf in leaves_of(value) if isinstance(leaf, Tensor) for size in leaf.shape]
        if any(is_symbolic(size) and number in expression(size).free_symbols for size in sizes):
            raise RaggedError


def _ends_of_lists(plan: Plan, done: Step) -> dict[Slot, Carried | Counter]:
    """The lengths, the last items, or all items of lists that a step appends to and reads those of."""
    found: dict[Slot, Carried | Counter] = {}
    for owner, container in done.before.containers.items():
        old = sum(slot[0] == owner for slot in done.before.values)
        new = [slot for slot in done.after.values if slot[0] == owner]
        kinds = done.reads.get(owner, set())
        if (WHOLE, owner) in plan.carried:
            found[WHOLE, owner] = _memory(done, owner, new[1:])
            continue
        if not isinstance(container, list) or len(new) <= old or not kinds:
            continue
        if not kinds <= {"last", "length"} or ("last" in kinds and not old):
            found[WHOLE, owner] = _memory(done, owner, new[old:])
            continue
        if "length" in kinds:
            found[LENGTH, owner] = Counter(_added(done, new[old:]))
        if kinds == {"length"}:
            continue
        slot = (LAST_ITEM, owner)
        was = done.placed[slot].value if slot in done.placed else done.before.values[(owner, old - 1)]
        now = done.after.values[(owner, len(new) - 1)]
        if isinstance(now, Front):
            raise StepsDifferError("a step puts an item at the front of a list that it reads")
        before, form = tree_flatten(was)
        after, form_after = tree_flatten(now)
        if form != form_after:
            raise DifferentFormsError("a step appends an item of another structure than the one before")
        found[slot] = Carried(form, tuple(_leaf(slot, x, x, y) for x, y in zip(before, after, strict=True)))
    return found


def _memory(done: Step, owner: int, slots: Sequence[Slot]) -> Carried:
    """All items of a list, to which a step appends these."""
    items = [done.after.values[slot] for slot in slots]
    if any(isinstance(item, (Front, Maybe, Collected)) for item in items):
        raise StepsDifferError("a step reads a list that it appends to at the front, or on a condition")
    before = count_of([value for (container, _), value in done.before.values.items() if container == owner])
    leaves, form = tree_flatten(items[0])
    metas = [meta_of(leaf) for leaf in leaves]
    stacked = [Meta("tensor", (before, *meta.shape), meta.dtype, (0, len(items))) for meta in metas]
    return Carried(form, tuple(stacked), tuple(meta.kind == "number" for meta in metas))


def _added(done: Step, slots: Sequence[Slot]) -> Any:
    """How many items a step appends to a list."""
    items = [done.after.values[slot] for slot in slots]
    added = sum(item.count if isinstance(item, Collected) else 1 for item in items)
    if is_data_dependent(added) or any(isinstance(item, Maybe) for item in items):
        raise StepsDifferError(
            "a step asks for the length of a list that does not grow by the same number in every step"
        )
    return added


def _kept(
    slot: Slot, values: tuple[Any, Any, Any], known: Carried | Counter | None, region: Region, moved: set[int]
) -> Carried | Counter | None:
    """How a slot that a step changes is carried on; None if no step reads what the one before left there.

    Args:
        values: before the loop, before the step and after it.
    """
    original, was, now = values
    if isinstance(was, Undefined):
        return None
    if isinstance(now, Undefined):
        raise StepsDifferError(f"a step removes '{name_of(slot)}'")
    if isinstance(known, Counter) and is_number(now) and same(now - was, known.by):
        return known
    if known is None and _is_integer(was) and _is_integer(now) and not is_symbolic(now - was):
        return Counter(now - was)
    before, form = tree_flatten(was)
    after, form_after = tree_flatten(now)
    if not any(_is_read(leaf, region, moved) for leaf in before) and not isinstance(known, Counter):
        return None
    if form != form_after:
        raise DifferentFormsError(f"a step leaves another structure in '{name_of(slot)}' than it begins with")
    first = tree_leaves(original)
    first = first if len(first) == len(before) else before
    metas = known.leaves if isinstance(known, Carried) and len(known.leaves) == len(before) else [None] * len(before)
    leaves = zip(first, before, after, metas, strict=True)
    return Carried(form, tuple(_leaf(slot, *each) for each in leaves))


def _leaf(slot: Slot, original: Any, was: Any, now: Any, known: Meta | None = None) -> Meta:
    if known is not None and known.ragged is not None and same_but_for(known.ragged, was, now):
        return known
    if isinstance(was, bool) and isinstance(now, bool) and was != now:
        raise DifferentFormsError(f"a step changes '{name_of(slot)}' from {was} to {now}")
    try:
        return widened(meta_of(was), meta_of(now))
    except DifferentFormsError as error:
        growth, ragged = growth_of(was, now), ragged_of(was, now)
        if (growth is None and ragged is None) or not isinstance(original, Tensor):
            raise DifferentFormsError(f"{error} ('{name_of(slot)}')") from None
        return Meta("tensor", tuple(original.shape), was.dtype, growth, ragged if growth is None else None)


def _is_read(leaf: Any, region: Region, moved: set[int]) -> bool:
    if isinstance(leaf, Tensor):
        return id(leaf) in region.read or id(leaf) in moved
    if is_symbolic(leaf):
        return bool(expression(leaf).free_symbols & region.symbols)
    # Of a plain value nobody sees who reads it.
    return True


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool)
