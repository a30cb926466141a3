"""Loops as loops: one step is run with a symbolic number, and what differs after it is what the loop carries.

A step is run several times before it is recorded, untraced: first as it stands, to see what it changes; then with
placeholders for that, until what it leaves has the shape and dtype of what it began with. A step that leaves something
of another kind than it began with (`None` before the first one) is the first step, which is then done on its own before
the loop.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...torch_internals.modules import tree_flatten, tree_leaves, tree_unflatten
from ...torch_internals.symbols import expression, hold, new_step, shape_env, untraced
from .endings import Ending
from .numbers import Ranges, as_number, as_tensor, is_data_dependent, is_symbolic
from .operators import carry, grow, step, steps
from .refusals import DifferentFormsError, StepsDifferError
from .region import Region, names_step
from .series import Collected, count_of, listed
from .state import LAST_ITEM, LENGTH, UNDEFINED, WHOLE, Scope, Slot, Snapshot, Undefined, name_of
from .values import Front, Maybe, Meta, as_leaf, growth_of, is_changed, is_number, meta_of, same, widened

# A loop without a limit of its own.
UNLIMITED = sys.maxsize

_MOST_PEELED = 2
_MOST_ROUNDS = 6


@dataclass(frozen=True)
class Loop:
    """What a loop is made of.

    `run` does one step, by its number; `stop` tells after a step whether it was the last one, and `begin` before the
    first whether there is one at all; None where the count alone decides.
    """

    count: Any
    run: Callable[[Any], None]
    begin: Callable[[], Any] | None
    stop: Callable[[], Any] | None
    scope: Scope


@dataclass(frozen=True)
class Carried:
    """A slot that a step reads and changes: the structure of its value, and the meta of each leaf.

    Of a whole list, the structure is that of an item, and `numbers` says which of its leaves are numbers.
    """

    form: Any
    leaves: tuple[Meta, ...]
    numbers: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Counter:
    """A number that grows by the same amount in every step."""

    by: Any


@dataclass
class Plan:
    """What a loop carries, as far as the rounds so far show; `written` are tensors that it writes to in place.

    `direct` are tensors of which a step reads what others have written, which are carried whole. `unread` are slots
    that no step reads before it writes to them, as was seen with a placeholder there.
    """

    carried: dict[Slot, Carried | Counter] = field(default_factory=dict)
    written: dict[int, Tensor] = field(default_factory=dict)
    direct: frozenset[int] = frozenset()
    unread: frozenset[Slot] = frozenset()
    is_stopped: bool = False

    @property
    def grows(self) -> bool:
        """Whether a carried tensor is longer after every step."""
        kept = (each for each in self.carried.values() if isinstance(each, Carried))
        return any(meta.growth is not None for each in kept for meta in each.leaves)

    def key(self) -> object:
        carried = sorted(map(repr, self.carried.items()))
        return repr((carried, sorted(self.written), sorted(self.direct), self.is_stopped))


@dataclass(frozen=True)
class Placed:
    """What stands in a slot at the beginning of a step: the value, and the tensors that it is made of."""

    value: Any
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True)
class Step:
    """One step that was run: what was in the slots at its beginning and end, and what happened in between."""

    number: Any
    before: Snapshot
    placed: Mapping[Slot, Placed]
    copies: Mapping[int, Tensor]
    after: Snapshot
    region: Region
    stops: Any
    reads: Mapping[int, set[str]]
    step: Tensor | None = None

    def value(self, slot: Slot) -> Any:
        """What was in a slot at the beginning."""
        return self.placed[slot].value if slot in self.placed else self.before.values.get(slot, UNDEFINED)

    def later(self, slot: Slot) -> Any:
        """What is in a slot at the end; a container that nothing reaches any more is as it was."""
        if slot[0] and slot[0] not in self.after.containers:
            return self.value(slot)
        return self.after.values.get(slot, UNDEFINED)


class Loops:
    """Runs the loops of one capture."""

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges
        self._next = 0
        # How the step that is running reads lists, by identity: their "last" item, their "length", or otherwise.
        self.list_reads: dict[int, set[str]] = {}
        # The last item of a list that steps append to, and how long it was before the step.
        self.last_items: dict[int, tuple[Any, int]] = {}
        # By how much a list is longer in the step that is running than it looks.
        self.more_items: dict[int, Any] = {}
        # The containers that were there before the step that is running.
        self.outer_containers: Mapping[int, Any] = {}

    def run(self, loop: Loop) -> None:
        """Run a loop as one symbolic step.

        Raises:
            StepsDifferError: its steps are not alike.
            Exception: whatever the model's code raises with a symbolic number or a placeholder.
        """
        peeled, plan = self._planned(loop)
        for i in range(peeled):
            _run_first(loop, i)
        self._record(_shifted(loop, peeled), plan)

    def next_number(self) -> int:
        """The number of a loop or decision that begins now: those within it have higher ones."""
        self._next += 1
        return self._next

    def is_stopped(self, loop: Loop) -> bool:
        """Whether a value ends a loop."""
        return self._planned(loop)[1].is_stopped

    def _planned(self, loop: Loop) -> tuple[int, Plan]:
        first: Exception | None = None
        for peeled in range(_MOST_PEELED + 1):
            # Where the model begins with None a loop without steps leaves None, which no model can return.
            if peeled and not is_symbolic(loop.count) and loop.count < peeled:
                break
            before = loop.scope.snapshot()
            try:
                with self._unrecorded():
                    for i in range(peeled):
                        _run_first(loop, i)
                    return peeled, self._plan(_shifted(loop, peeled))
            except Exception as error:  # whatever the model's code raises
                first = first or error
            finally:
                loop.scope.restore(before)
        assert first is not None
        raise first

    @contextmanager
    def _unrecorded(self) -> Iterator[None]:
        number = self._next
        with untraced(), shape_env().ignore_fresh_unbacked_symbols():
            yield
        self._next = number

    def _plan(self, loop: Loop) -> Plan:
        plan, before = Plan(), loop.scope.snapshot()
        for _ in range(_MOST_ROUNDS):
            i = new_step(shape_env())
            self.ranges.bound(i, loop.count)
            placed = {slot: _placeholder(kept, i) for slot, kept in plan.carried.items() if isinstance(kept, Carried)}
            copies = {key: torch.empty_like(tensor) for key, tensor in plan.written.items()}
            try:
                learned = _learned(plan, self._step(loop, plan, i, placed, copies))
            finally:
                loop.scope.restore(before)
            if learned.key() == plan.key():
                return plan
            plan = learned
        raise StepsDifferError("what it carries changes its shape in every step")

    def _step(self, loop: Loop, plan: Plan, i: Any, placed: dict[Slot, Placed], copies: Mapping[int, Tensor]) -> Step:
        """Run one step with these values in place; the scope is left as the step leaves it."""
        self.ranges.bound(i, loop.count)
        before = loop.scope.snapshot()
        region = Region(lambda index: names_step(index, i), plan.direct)
        longer, self.more_items = self.more_items, dict(self.more_items)
        for slot, kept in plan.carried.items():
            if slot[0] == LENGTH:
                assert isinstance(slot[1], int)
                self.more_items[slot[1]] = longer.get(slot[1], 0) + kept.by * i  # type: ignore[union-attr]
            elif isinstance(kept, Counter):
                placed[slot] = Placed(before.values[slot] + kept.by * i, ())
        loop.scope.put(before, {slot: begun.value for slot, begun in placed.items() if slot[0] >= 0})
        for (owner, key), begun in placed.items():
            region.add(*(leaf for leaf in _leaves(begun.value) if isinstance(leaf, Tensor)))
            if owner == LAST_ITEM:
                assert isinstance(key, int)
                self.last_items[key] = (begun.value, len(before.containers[key]))
            if owner == WHOLE:
                before.containers[key][:] = [_items_before(plan.carried[owner, key], begun, i)]  # type: ignore[index]
        for tensor, like in copies.items():
            copy = like.clone()
            region.written[tensor] = (plan.written[tensor], copy)
            region.add(copy)
        outer, self.list_reads = self.list_reads, {}
        around, self.outer_containers = self.outer_containers, before.containers
        try:
            with region:
                loop.run(i)
                stops = None if loop.stop is None else loop.stop()
            return Step(i, before, placed, copies, loop.scope.snapshot(), region, stops, self.list_reads)
        finally:
            for key, kinds in self.list_reads.items():
                outer.setdefault(key, set()).update(kinds)
            self.list_reads, self.outer_containers, self.more_items = outer, around, longer
            for owner, key in placed:
                if owner == LAST_ITEM:
                    self.last_items.pop(key, None)  # type: ignore[call-overload]

    def _record(self, loop: Loop, plan: Plan) -> None:
        number = self.next_number()
        may_be_empty = not self.ranges.at_least(loop.count, 1)
        begin = None
        if plan.is_stopped:
            begin = torch.ones((), dtype=torch.bool) if loop.begin is None else _truth(loop.begin())
            may_be_empty = may_be_empty or loop.begin is not None
        mark = step(loop.count, number, may_be_empty)
        i = mark.item()
        hold(i >= 0)
        hold(i < loop.count)
        before = loop.scope.snapshot()
        placed = {
            slot: _carry(_initial(slot, before, kept), kept, number, i)
            for slot, kept in plan.carried.items()
            if isinstance(kept, Carried)
        }
        copies = {key: carry(tensor, number) for key, tensor in plan.written.items()}
        done = self._step(loop, plan, i, placed, copies)
        loop.scope.restore(before)
        ran: Any = loop.count
        parts = []
        if begin is not None:
            parts = [steps(begin, ~_truth(done.stops), loop.count, number)]
            ran = parts[0].item()
            hold(ran >= 0)
            hold(ran <= loop.count)
        elif plan.grows:
            # Only a loop that a value could end may have a carried value of another shape in every step.
            always = torch.ones((), dtype=torch.bool)
            parts = [steps(always, always, loop.count, number)]
        Ending(loop.scope, plan, replace(done, step=mark), number, ran, may_be_empty, parts).leave()


def _learned(plan: Plan, done: Step) -> Plan:
    """The plan with what one more step showed."""
    carried: dict[Slot, Carried | Counter] = {}
    unread = set(plan.unread)
    # A value that stands where another stood has been read, even if no operator saw it.
    moved = {
        id(leaf)
        for slot, value in done.after.values.items()
        if value is not done.value(slot)
        for leaf in _leaves(value)
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
    targets = [id(write.target) for write in done.region.step_writes]
    read_back = {key for key in targets if key in done.region.read or key in written or targets.count(key) > 1}
    is_stopped = done.stops is not None and not isinstance(done.stops, bool)
    return Plan(carried, written, plan.direct | read_back, frozenset(unread), is_stopped)


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


def _items_before(kept: Carried | Counter, begun: Placed, i: Any) -> Collected:
    """All items of a list before step `i`."""
    assert isinstance(kept, Carried)
    return Collected(kept.leaves[0].shape_at(i)[0], begun.value, kept.numbers)


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
    return Carried(form, tuple(_leaf(slot, *leaves) for leaves in zip(first, before, after, strict=True)))


def _leaf(slot: Slot, original: Any, was: Any, now: Any) -> Meta:
    if isinstance(was, bool) and isinstance(now, bool) and was != now:
        raise DifferentFormsError(f"a step changes '{name_of(slot)}' from {was} to {now}")
    try:
        return widened(meta_of(was), meta_of(now))
    except DifferentFormsError as error:
        growth = growth_of(was, now)
        if growth is None or not isinstance(original, Tensor):
            raise DifferentFormsError(f"{error} ('{name_of(slot)}')") from None
        return Meta("tensor", tuple(original.shape), was.dtype, growth)


def _is_read(leaf: Any, region: Region, moved: set[int]) -> bool:
    if isinstance(leaf, Tensor):
        return id(leaf) in region.read or id(leaf) in moved
    if is_symbolic(leaf):
        return bool(expression(leaf).free_symbols & region.symbols)
    # Of a plain value nobody sees who reads it.
    return True


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool)


def _leaves(value: Any) -> list[Any]:
    return [] if isinstance(value, Undefined) else list(tree_leaves(value))


def _initial(slot: Slot, before: Snapshot, kept: Carried) -> Any:
    owner, key = slot
    if owner >= 0:
        return before.values[slot]
    items = before.containers[key]  # type: ignore[index]
    if owner == LAST_ITEM:
        return items[-1]
    if items:
        return listed(items).stacked
    return tree_unflatten([torch.zeros(meta.shape, dtype=meta.dtype) for meta in kept.leaves], kept.form)


def _placeholder(kept: Carried, i: Any) -> Placed:
    return _placed(kept, [meta.empty(i) for meta in kept.leaves])


def _carry(value: Any, kept: Carried, number: int, i: Any) -> Placed:
    begun = [(as_leaf(leaf, meta), meta) for leaf, meta in zip(tree_leaves(value), kept.leaves, strict=True)]
    return _placed(
        kept,
        [carry(leaf, number) if meta.growth is None else grow(leaf, meta.shape_at(i), number) for leaf, meta in begun],
    )


def _placed(kept: Carried, tensors: list[Tensor]) -> Placed:
    # A step may write to what it is given, and the mark must stay what it was.
    values = [
        as_number(tensor) if meta.kind == "number" else tensor.clone()
        for tensor, meta in zip(tensors, kept.leaves, strict=True)
    ]
    return Placed(tree_unflatten(values, kept.form), tuple(tensors))


def _run_first(loop: Loop, i: int) -> None:
    """One of the first steps, on its own.

    Raises:
        StepsDifferError: a value may end the loop with it.
    """
    loop.run(i)
    if loop.stop is not None and loop.stop() is not False:
        raise StepsDifferError("one of the first steps, which differ from the others, may be the last")


def _truth(value: Any) -> Tensor:
    """A condition as a tensor of one truth value."""
    return as_tensor(value).reshape(()).to(torch.bool)


def _shifted(loop: Loop, by: int) -> Loop:
    """A loop without its first steps."""
    if not by:
        return loop
    return Loop(loop.count - by, lambda i: loop.run(i + by), loop.begin, loop.stop, loop.scope)
