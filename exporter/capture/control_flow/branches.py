"""Decisions: both ways are run, one after the other, and what they leave is chosen from by the condition."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import SymBool, SymInt, Tensor

from ...errors import type_in_words
from ...torch_internals.capture import check
from ...torch_internals.symbols import expression
from .collected import Collected
from .numbers import as_number, as_plain, as_tensor, is_data_dependent
from .operators import choose
from .refusals import DifferentFormsError, WriteToViewError
from .region import Region
from .state import UNDEFINED, Scope, Slot, Snapshot, Undefined
from .values import Maybe, is_changed, is_number, map_pairs, same

# PyTorch raises this of sizes that are numbers: it does so whatever the inputs are, without a capture too.
_MISMATCH = re.compile(r"The size of tensor a \(\d+\) must match the size of tensor b \(\d+\)")


@dataclass(frozen=True)
class Relation:
    """A comparison of numbers of which one at least is symbolic, or two of these joined by "And" or "Or".

    `name` is that of Python's syntax tree.
    """

    name: str
    left: Any
    right: Any

    def negated(self) -> Relation:
        if isinstance(self.left, Relation):
            return Relation(_OPPOSITES[self.name], self.left.negated(), self.right.negated())
        return Relation(_OPPOSITES[self.name], self.left, self.right)


_OPPOSITES = {
    "Eq": "NotEq",
    "NotEq": "Eq",
    "Lt": "GtE",
    "GtE": "Lt",
    "Gt": "LtE",
    "LtE": "Gt",
    "And": "Or",
    "Or": "And",
}


@dataclass(frozen=True)
class Condition:
    """What a decision depends on: a tensor of one truth value; the symbolic one and the comparison, where there are."""

    tensor: Tensor
    symbol: SymBool | None = None
    relation: Relation | None = None


@dataclass(frozen=True)
class _Way:
    """What is left after one way: every slot, and the tensors written to; `refused` is what the user's code raised."""

    after: Snapshot
    region: Region
    refused: Exception | None


def decide(condition: Condition, then: Callable[[], Any], orelse: Callable[[], Any], scope: Scope, number: int) -> None:
    """Run both ways and leave what the condition chooses; a way that only refuses is not taken.

    Raises:
        DifferentFormsError: the ways leave values that cannot be chosen between.
        Exception: what both ways raise.
    """
    before = scope.snapshot()
    ways = []
    for way in (then, orelse):
        region = Region()
        refused: Exception | None = None
        try:
            with region:
                way()
        except Exception as error:
            if not getattr(error, "raised_by_model", False) and not _MISMATCH.match(str(error)):
                raise
            refused = error
        if region.through_views:
            raise WriteToViewError
        ways.append(_Way(scope.snapshot(), region, refused))
        scope.restore(before)
    first, second = ways
    if first.refused is not None and second.refused is not None:
        raise first.refused
    if first.refused is not None or second.refused is not None:
        taken = orelse if first.refused is not None else then
        _hold_bound(condition, first.refused is None)
        taken()
        return
    _leave(condition, first, second, before, scope, number)


def _hold_bound(condition: Condition, holds: bool) -> None:
    """What the model refuses beyond some size the file refuses too: such a comparison is taken for granted."""
    relation = condition.relation
    if relation is not None and condition.symbol is not None and relation.name in ("Lt", "LtE", "Gt", "GtE"):
        check(condition.symbol if holds else torch.sym_not(condition.symbol))


def _leave(condition: Condition, a: _Way, b: _Way, before: Snapshot, scope: Scope, number: int) -> None:
    chosen: dict[Slot, Any] = {}
    containers = {**a.after.containers, **b.after.containers, **before.containers}
    slots = [*a.after.values, *(slot for slot in b.after.values if slot not in a.after.values)]
    for slot in slots:
        owner = slot[0]
        if owner and owner not in before.containers:
            continue
        x, y, was = (snapshot.values.get(slot, UNDEFINED) for snapshot in (a.after, b.after, before))
        if not is_changed(was, x) and not is_changed(was, y):
            continue
        if isinstance(containers.get(owner), list) and slot not in before.values:
            _append(containers[owner], condition, x, y, number)
            continue
        chosen[slot] = choose_value(condition, x, y, number)
    scope.put(before, chosen)
    leave_written(condition, a.region, b.region, number)


def leave_written(condition: Condition, a: Region, b: Region, number: int) -> None:
    """Write to the tensors that either way wrote to, `a` if the condition holds."""
    for original, copy_a, copy_b in _written(a, b):
        original.copy_(_choose_leaf(condition, copy_a, copy_b, number))


def _append(target: list[Any], condition: Condition, x: Any, y: Any, number: int) -> None:
    """What one way, or both, put at the end of a list."""
    if isinstance(x, Undefined):
        target.append(_maybe(~condition.tensor, y))
    elif isinstance(y, Undefined):
        target.append(_maybe(condition.tensor, x))
    else:
        target.append(choose_value(condition, x, y, number))


def _maybe(condition: Tensor, item: Any) -> Maybe:
    return Maybe(condition & item.condition, item.item) if isinstance(item, Maybe) else Maybe(condition, item)


def _written(a: Region, b: Region) -> list[tuple[Tensor, Tensor, Tensor]]:
    originals = {key: pair[0] for region in (a, b) for key, pair in region.written.items()}
    return [
        (original, *(region.written[key][1] if key in region.written else original for region in (a, b)))  # type: ignore[misc]
        for key, original in originals.items()
    ]


def choose_value(condition: Condition, a: Any, b: Any, number: int) -> Any:
    """`a` if the condition holds, else `b`."""
    return map_pairs(lambda x, y: _choose_leaf(condition, x, y, number), a, b)


def _choose_leaf(condition: Condition, a: Any, b: Any, number: int) -> Any:
    if a is b:
        return a
    if isinstance(a, Maybe) and isinstance(b, Maybe):
        return Maybe(
            _choose_leaf(condition, a.condition, b.condition, number), choose_value(condition, a.item, b.item, number)
        )
    if is_number(a) and is_number(b):
        return _choose_number(condition, a, b, number)
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype == b.dtype:
        return _choose_tensor(condition, a, b, number)
    if (isinstance(a, Tensor) and is_number(b)) or (is_number(a) and isinstance(b, Tensor)):
        x, y = as_tensor(a), as_tensor(b)
        kind = a.dtype if isinstance(a, Tensor) else b.dtype
        return _choose_leaf(condition, x.to(kind), y.to(kind), number)
    if type(a) is type(b) and not isinstance(a, (Tensor, Collected)) and a == b:
        return a
    raise DifferentFormsError(f"one way leaves {_described(a)}, the other {_described(b)}")


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {str(value.dtype).removeprefix('torch.')}"
    return "None" if value is None else type_in_words(value)


def _choose_tensor(condition: Condition, a: Tensor, b: Tensor, number: int) -> Tensor:
    if a.dim() != b.dim():
        raise DifferentFormsError(f"one way leaves {a.dim()} dimensions, the other {b.dim()}")
    if a.dtype == torch.bool and a.numel() == 1 and b.numel() == 1 and a.dim() == 0:
        made: Tensor = _choose_truth(condition, a, b)
        return made
    shape = [x if same(x, y) else chosen_size(condition, x, y, number) for x, y in zip(a.shape, b.shape, strict=True)]
    chosen: Tensor = choose(condition.tensor, a, b, shape, number)
    return chosen


def chosen_size(condition: Condition, a: Any, b: Any, number: int) -> Any:
    """A size that is `a` if the condition holds, else `b`."""
    size = _choose_number(condition, a, b, number)
    if is_data_dependent(size):
        check(size >= 0)
    return size


def _choose_number(condition: Condition, a: Any, b: Any, number: int) -> Any:
    a, b = as_plain(a), as_plain(b)
    if type(a) is type(b) and same(a, b):
        return a
    if isinstance(a, (bool, SymBool)) and isinstance(b, (bool, SymBool)):
        return _choose_truth(condition, as_tensor(a), as_tensor(b), a, b)
    if isinstance(a, (int, SymInt)) and isinstance(b, (int, SymInt)) and condition.relation is not None:
        return b + (a - b) * _indicator(condition.relation)
    x, y = as_tensor(a), as_tensor(b)
    kind = torch.promote_types(x.dtype, y.dtype)
    return as_number(_choose_tensor(condition, x.to(kind), y.to(kind), number))


def _choose_truth(condition: Condition, a: Tensor, b: Tensor, plain_a: Any = None, plain_b: Any = None) -> Any:
    """Of truth values the condition itself is one, which keeps a decision by it recognisable."""
    if plain_a is True and plain_b is False:
        return condition.tensor
    if plain_a is False and plain_b is True:
        return ~condition.tensor
    return (condition.tensor & a) | (~condition.tensor & b)


def _indicator(relation: Relation) -> Any:
    """1 where a comparison of whole numbers holds, else 0."""
    if isinstance(relation.left, Relation):
        left, right = _indicator(relation.left), _indicator(relation.right)
        return left * right if relation.name == "And" else left + right - left * right
    difference = relation.left - relation.right
    if relation.name in ("Eq", "NotEq"):
        # With the 0, whoever looks for bounds of this finds 0 and 1.
        apart = torch.sym_min(torch.sym_max(torch.sym_max(difference, -difference), 0), 1)
        return 1 - apart if relation.name == "Eq" else apart
    if relation.name in ("Lt", "LtE"):
        difference = -difference
    if relation.name in ("GtE", "LtE"):
        difference = difference + 1
    return torch.sym_min(torch.sym_max(difference, 0), 1)


def nonnegative(relation: Relation, holds: bool) -> list[Any]:
    """What is known not to be negative where a comparison of whole numbers holds, or where it does not."""
    if not holds:
        relation = relation.negated()
    if isinstance(relation.left, Relation):
        return [] if relation.name == "Or" else nonnegative(relation.left, True) + nonnegative(relation.right, True)
    left, right = (
        expression(as_number(side) if isinstance(side, Tensor) else side) for side in (relation.left, relation.right)
    )
    return {
        "Lt": [right - left - 1],
        "LtE": [right - left],
        "Gt": [left - right - 1],
        "GtE": [left - right],
        "Eq": [left - right, right - left],
    }.get(relation.name, [])


def negated(condition: Any) -> Any:
    """`not condition` of a tensor or a symbolic truth value."""
    return torch.sym_not(condition) if isinstance(condition, SymBool) else ~condition
