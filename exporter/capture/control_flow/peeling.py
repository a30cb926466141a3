"""The first steps of a loop, done on their own: where the loop may have no step, they are done on a condition.

    h = None                                       h = None
    for t in range(1, T):           ──>            if T > 1:
        h = cell(x[t], h)                              h = cell(x[1], h)
                                                       for t in range(2, T): ...

Both ways of a decision leave values of one kind, and here only one way makes any: what was None or undefined before is
zeros on the other, which `Peeling.there` knows of, and a list of unknown length is empty there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...torch_internals.modules import tree_map
from .branches import Condition, Relation, choose_value, chosen_size, leave_written
from .collected import Collected, listed
from .numbers import as_tensor
from .operators import choose
from .refusals import StepsDifferError
from .region import Region
from .state import UNDEFINED, Scope, Snapshot, Undefined
from .values import is_changed, same


class Peeling:
    """Runs steps that may not be there."""

    def __init__(self) -> None:
        # By identity, values that stand for None where a condition does not hold; kept, so that no other is taken for
        # one.
        self._perhaps: dict[int, tuple[Any, Condition]] = {}

    def there(self, value: Any) -> Condition | None:
        """The condition on which a value is not None; None where that is known."""
        found = self._perhaps.get(id(value))
        return None if found is None else found[1]

    def run(self, count: Any, steps: Callable[[], None], scope: Scope, number: int) -> None:
        """Run all `count` steps of a loop, the first of which may not be there."""
        there = count > 0
        condition = Condition(as_tensor(there), there, Relation("Gt", count, 0))
        before, region = scope.snapshot(), Region()
        with region:
            steps()
        after = scope.snapshot()
        scope.restore(before)
        lists = _changed_lists(before, after)
        left = {
            slot: self._left(condition, before.values.get(slot, UNDEFINED), now, number)
            for slot, now in after.values.items()
            if (not slot[0] or slot[0] in before.containers) and slot[0] not in lists
            if is_changed(before.values.get(slot, UNDEFINED), now)
        }
        scope.put(before, left)
        for owner, (old, new) in lists.items():
            before.containers[owner][:] = _joined(condition, old, new, count, number)
        leave_written(condition, region, Region(), number)

    def _left(self, condition: Condition, was: Any, now: Any, number: int) -> Any:
        if was is not None and not isinstance(was, Undefined):
            return choose_value(condition, now, was, number)
        zeros = tree_map(lambda leaf: _zeros(leaf.shape, leaf) if isinstance(leaf, Tensor) else leaf, now)
        chosen = choose_value(condition, now, zeros, number)
        if was is None and now is not None:
            self._perhaps[id(chosen)] = (chosen, condition)
        return chosen


def _zeros(shape: Sequence[Any], like: Tensor) -> Tensor:
    """Zeros that are made without reading the other tensor, which is not there where they are needed."""
    return torch.zeros(shape, dtype=like.dtype)


def _changed_lists(before: Snapshot, after: Snapshot) -> dict[int, tuple[list[Any], list[Any]]]:
    """What was and is in each list that the steps made longer."""
    found = {}
    for owner, container in before.containers.items():
        old, new = _items(before, owner), _items(after, owner)
        if isinstance(container, list) and len(old) != len(new):
            found[owner] = (old, new)
    return found


def _items(snapshot: Snapshot, owner: int) -> list[Any]:
    return [value for (key, _), value in snapshot.values.items() if key == owner]


def _are(items: Sequence[Any], others: Sequence[Any]) -> bool:
    return len(items) == len(others) and all(a is b for a, b in zip(items, others, strict=True))


def _joined(condition: Condition, old: list[Any], new: list[Any], count: Any, number: int) -> list[Any]:
    """A list after the steps, which is what it was without them."""
    added = len(new) - len(old)
    if added > 0 and _are(new[: len(old)], old):
        return [*old, _added(condition, new[len(old) :], count, number)]
    if added > 0 and _are(new[added:], old):
        return [_added(condition, new[:added], count, number), *old]
    raise StepsDifferError("a step that differs from the others, and may not be there, changes what is in a list")


def _added(condition: Condition, items: list[Any], count: Any, number: int) -> Collected:
    """What `count` steps put in a list, as one item that is empty without steps."""
    whole = listed(items)
    each = sum(not isinstance(item, Collected) for item in items)
    fits = each and same(whole.count, each * (1 + torch.sym_max(count - 1, 0)))
    size = each * count if fits else chosen_size(condition, whole.count, 0, number)

    def perhaps(leaf: Tensor) -> Tensor:
        rest = leaf.shape[1:]
        made: Tensor = choose(condition.tensor, leaf, _zeros([0, *rest], leaf), [size, *rest], number)
        return made

    return whole.map(perhaps, size)
