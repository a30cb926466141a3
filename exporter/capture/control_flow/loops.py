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
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...torch_internals.capture import check
from ...torch_internals.modules import tree_leaves, tree_unflatten
from ...torch_internals.symbols import new_step, shape_env, untraced
from .branches import Relation
from .collected import Collected, listed
from .endings import Ending
from .learning import check_items, learned
from .numbers import Ranges, as_number, as_size, as_tensor, is_symbolic
from .operators import all_steps, carry, grow, step, steps
from .paths import OpenDecisions
from .peeling import Peeling
from .refusals import RaggedError, StepsDifferError
from .region import Region, names_step
from .state import LAST_ITEM, LENGTH, WHOLE, Scope, Slot, Snapshot
from .steps import Carried, Counter, Placed, Plan, Step, leaves_of
from .values import as_leaf
from .whole_numbers import WholeNumbers

# A loop without a limit of its own.
UNLIMITED = sys.maxsize

# How many of the first and last steps may differ from the others, in the order in which that is tried.
_PEELED = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0))
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
class Way:
    """How a loop is run: so many first and last steps on their own, and what the others carry."""

    first: int
    last: int
    plan: Plan


class Loops:
    """Runs the loops of one capture."""

    def __init__(self, ranges: Ranges, decisions: OpenDecisions, *, growing: bool) -> None:
        self.ranges = ranges
        self.whole_numbers = WholeNumbers()
        self._decisions = decisions
        self._may_grow = growing
        self._next = 0
        self.peeling = Peeling()
        # How the step that is running reads lists, by identity: their "last" item, their "length", or otherwise.
        self.list_reads: dict[int, set[str]] = {}
        # The last item of a list that steps append to, and how long it was before the step.
        self.last_items: dict[int, tuple[Any, int]] = {}
        # By how much a list is longer in the step that is running than it looks.
        self.more_items: dict[int, Any] = {}
        # The containers that were there before the step that is running.
        self.outer_containers: Mapping[int, Any] = {}

    def run(self, loop: Loop, way: Way | None = None) -> None:
        """Run a loop as one symbolic step.

        Args:
            way: what `planned` found, if it was asked.

        Raises:
            StepsDifferError: its steps are not alike.
            Exception: whatever the model's code raises with a symbolic number or a placeholder.
        """
        way = self.planned(loop) if way is None else way
        if not way.first:
            self._record(self._without(loop, 0, way.last), way.plan)
            for i in range(way.last, 0, -1):
                loop.run(loop.count - i)
            return
        after = replace(way, first=way.first - 1)

        def steps() -> None:
            _run_first(loop, 0)
            self.run(self._without(loop, 1, 0), after)

        if self.ranges.at_least(loop.count, 1):
            steps()
        else:
            self.peeling.run(loop.count, steps, loop.scope, self.next_number())

    def next_number(self) -> int:
        """The number of a loop or decision that begins now: those within it have higher ones."""
        self._next += 1
        return self._next

    def planned(self, loop: Loop) -> Way:
        """How a loop can be run, found by trying; it leaves everything as it was.

        Raises:
            Exception: that of `run`.
        """
        refused: list[Exception] = []
        for first, last in _PEELED:
            if not self._may_be_peeled(loop, first, last, refused):
                continue
            before = loop.scope.snapshot()
            try:
                with self.unrecorded():
                    for i in range(first):
                        _run_first(loop, i)
                    return Way(first, last, self._plan(self._without(loop, first, last)))
            except Exception as error:  # whatever the model's code raises
                refused.append(error)
            finally:
                loop.scope.restore(before)
        raise refused[0]

    def _may_be_peeled(self, loop: Loop, first: int, last: int, refused: Sequence[Exception]) -> bool:
        """Whether so many of a loop's steps can be done on their own, after what was refused before."""
        if not last:
            # Where the model begins with None a loop without steps leaves None, which no model can return.
            return not first or is_symbolic(loop.count) or loop.count >= first
        # Windows are trimmed in another way at the end; nothing else makes the last step one of its own.
        if loop.stop is not None or not any(isinstance(error, RaggedError) for error in refused):
            return False
        if self.ranges.at_least(loop.count, first + last):
            return True
        self._decisions.meet(Relation("GtE", loop.count, first + last))
        return False

    def _without(self, loop: Loop, first: int, last: int) -> Loop:
        """A loop without its first and last steps."""
        if not first and not last:
            return loop
        count = loop.count - first - last
        if is_symbolic(count) and not self.ranges.at_least(count, 0):
            count = torch.sym_max(count, 0)
        return Loop(count, lambda i: loop.run(i + first), loop.begin, loop.stop, loop.scope)

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        number = self._next
        fresh = shape_env().ignore_fresh_unbacked_symbols()
        with untraced(), fresh, self.whole_numbers.apart(), self.ranges.forgetting():
            yield
        self._next = number

    def _plan(self, loop: Loop) -> Plan:
        plan, before = Plan(), loop.scope.snapshot()
        for _ in range(_MOST_ROUNDS):
            i = new_step(shape_env())
            self.ranges.bound(i, loop.count)
            sizes = {group: _new_size() for group in plan.groups}
            placed = {
                slot: self._placeholder(kept, i, sizes)
                for slot, kept in plan.carried.items()
                if isinstance(kept, Carried)
            }
            copies = {key: torch.zeros(tensor.shape, dtype=tensor.dtype) for key, tensor in plan.written.items()}
            try:
                done = self._step(loop, plan, i, placed, copies)
                more = learned(plan, done)
            finally:
                loop.scope.restore(before)
            if more.key() == plan.key():
                if plan.grows and not self._may_grow:
                    raise StepsDifferError("what it carries has another size after every step")
                if not self._may_grow:
                    check_items(plan, done)
                return plan
            plan = more
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
            region.add(*(leaf for leaf in leaves_of(begun.value) if isinstance(leaf, Tensor)))
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

    def _placeholder(self, kept: Carried, i: Any, sizes: Mapping[int, Any]) -> Placed:
        return self._placed(kept, [meta.empty(i, sizes) for meta in kept.leaves], sizes)

    def _carry(self, value: Any, kept: Carried, number: int, i: Any, sizes: Mapping[int, Any]) -> Placed:
        begun = [(as_leaf(leaf, meta), meta) for leaf, meta in zip(tree_leaves(value), kept.leaves, strict=True)]
        marks = [
            carry(leaf, number) if meta.is_constant else grow(leaf, meta.shape_at(i, sizes), number)
            for leaf, meta in begun
        ]
        return self._placed(kept, marks, sizes)

    def _placed(self, kept: Carried, tensors: list[Tensor], sizes: Mapping[int, Any]) -> Placed:
        values: list[Any] = []
        for tensor, meta in zip(tensors, kept.leaves, strict=True):
            known = sizes.get(meta.group) if meta.group is not None and meta.ragged is None else None
            if meta.kind == "number":
                values.append(as_number(tensor) if known is None else known)
                continue
            # A step may write to what it is given, and the mark must stay what it was.
            values.append(tensor.clone())
            if known is not None:
                self.whole_numbers.note(values[-1], known)
        return Placed(tree_unflatten(values, kept.form), tuple(tensors))

    def _record(self, loop: Loop, plan: Plan) -> None:
        number = self.next_number()
        outer = frozenset(shape_env().var_to_range)
        may_be_empty = not self.ranges.at_least(loop.count, 1)
        begin = None
        if plan.is_stopped:
            begin = torch.ones((), dtype=torch.bool) if loop.begin is None else _truth(loop.begin())
            may_be_empty = may_be_empty or loop.begin is not None
        mark = step(loop.count, number)
        i = mark.item()
        check(i >= 0)
        check(i < loop.count)
        before = loop.scope.snapshot()
        initial = {
            slot: _initial(slot, before, kept) for slot, kept in plan.carried.items() if isinstance(kept, Carried)
        }
        lengths = _lengths(plan, initial, number)
        sizes = {group: size for group, (_, size) in lengths.items()}
        placed = {
            slot: self._carry(value, plan.carried[slot], number, i, sizes)  # type: ignore[arg-type]
            for slot, value in initial.items()
        }
        copies = {key: carry(tensor, number) for key, tensor in plan.written.items()}
        done = self._step(loop, plan, i, placed, copies)
        loop.scope.restore(before)
        ran: Any = loop.count
        marked = []
        if begin is not None:
            marked = [steps(begin, ~_truth(done.stops), loop.count, number)]
            ran = marked[0].item()
            check(ran >= 0)
            check(ran <= loop.count)
        elif plan.grows:
            marked = [all_steps(loop.count, number)]
        done = replace(done, step=mark)
        Ending(
            loop.scope, plan, done, number, ran, may_be_empty, outer, lengths, self.next_number, self._may_grow, marked
        ).leave()


def _items_before(kept: Carried | Counter, begun: Placed, i: Any) -> Collected:
    """All items of a list before step `i`."""
    assert isinstance(kept, Carried)
    return Collected(kept.leaves[0].shape_at(i, {})[0], begun.value, kept.numbers)


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


def _new_size() -> Any:
    size = new_step(shape_env())
    check(size >= 0)
    return size


def _lengths(plan: Plan, initial: Mapping[Slot, Any], number: int) -> dict[int, tuple[Tensor, Any]]:
    """Of each group of sizes the one that is carried: its mark, and its number in this step."""
    found: dict[int, tuple[Tensor, Any]] = {}
    for slot, value in initial.items():
        kept = plan.carried[slot]
        assert isinstance(kept, Carried)
        for leaf, meta in zip(tree_leaves(value), kept.leaves, strict=True):
            if meta.ragged is not None and meta.group is not None and meta.group not in found:
                mark = carry(as_tensor(leaf.shape[meta.ragged]), number)
                found[meta.group] = (mark, as_size(mark))
    return found


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
