"""What a recorded loop leaves behind: final values, lists of what its steps put out, tensors that it wrote to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import SymInt, Tensor

from ...errors import type_in_words
from ...torch_internals.modules import tree_flatten, tree_leaves, tree_unflatten
from ...torch_internals.symbols import expression, is_unbacked, number_of
from .collected import Collected, Ragged, flipped, listed
from .joining import Joined, joined, last
from .numbers import as_number, as_size, as_tensor, dtype_of, is_data_dependent, is_symbolic
from .operators import all_steps, carry, close, collect, final, grown, leave
from .refusals import RaggedError, StepsDifferError, UnrolledError
from .region import StepWrite, dimension_of, step_in
from .state import UNDEFINED, WHOLE, Scope, Slot, Undefined
from .steps import Carried, Counter, Plan, Step
from .values import Front, Maybe, Meta, as_leaf, is_changed, is_number, same


@dataclass(frozen=True)
class _Final:
    """A tensor after the last step, which a number may be read from."""

    tensor: Tensor
    is_number: bool


@dataclass(frozen=True)
class Ending:
    """The end of loop `number`, of which `ran` steps were done.

    `outer` are the symbols of before it, `lengths` the marks of carried sizes, and `marked` holds what counts the steps
    of a loop that is more than a `Scan`.
    """

    scope: Scope
    plan: Plan
    done: Step
    number: int
    ran: Any
    may_be_empty: bool
    outer: frozenset[Any]
    lengths: Mapping[int, tuple[Tensor, Any]]
    next_number: Callable[[], int]
    may_grow: bool
    marked: list[Tensor]
    parts: list[Tensor] = field(default_factory=list)
    closed: list[Tensor] = field(default_factory=list)
    ended: dict[int, Any] = field(default_factory=dict)

    def leave(self) -> None:
        """Put everything that the loop changed where it belongs; the scope is as before the loop."""
        before = self.done.before
        longer = self._longer()
        ragged = {owner: made for owner, items in longer.items() if (made := self._joined(items)) is not None}
        whole = {
            key: self._all_items(key) for owner, key in self.plan.carried if owner == WHOLE and isinstance(key, int)
        }
        values = {
            slot: value
            for slot in self.done.after.values
            if (slot in before.values or slot[0] not in longer) and self._is_known(slot) and slot[0] not in whole
            for value in self._value(slot)
        }
        written = [
            (tensor, self._final(self.done.copies[key], copy))
            for key, (tensor, copy) in self.done.region.written.items()
            if key in self.done.copies
        ]
        for (container, key), kept in self.plan.carried.items():
            if container < 0 and isinstance(kept, Carried) and key not in whole:
                now = self._last_item(key)
                for begun, leaf, meta in zip(
                    self.done.placed[container, key].tensors, tree_leaves(now), kept.leaves, strict=True
                ):
                    self._final(begun, as_leaf(leaf, meta), meta)
        self.closed.append(close(self.done.step, [*self.marked, *self.parts], self.number))
        self.scope.put(before, {slot: self._left(value) for slot, value in values.items()})
        for owner, items in longer.items():
            if owner in ragged:
                self._extend_ragged(before.containers[owner], items, ragged[owner])
            else:
                self._extend(before.containers[owner], items)
        for remembering, items_of in whole.items():
            before.containers[remembering][:] = [replace(items_of, stacked=self._left(items_of.stacked))]
        for tensor, ended in written:
            tensor.copy_(self._left(ended))
        for write in self.done.region.step_writes:
            self._write(write)

    def _all_items(self, owner: Any) -> Collected:
        """All items of a list that the steps read and appended to."""
        kept, begun = self.plan.carried[WHOLE, owner], self.done.placed[WHOLE, owner]
        assert isinstance(kept, Carried)
        items = [value for (container, _), value in self.done.after.values.items() if container == owner]
        now = tree_leaves(listed(items).stacked)
        ended = [
            self._final(old, as_leaf(leaf, meta), meta)
            for old, leaf, meta in zip(begun.tensors, now, kept.leaves, strict=True)
        ]
        count = kept.leaves[0].shape_at(self.ran, {})[0]
        return Collected(count, tree_unflatten(ended, kept.form), kept.numbers)

    def _last_item(self, owner: Any) -> Any:
        """The item at the end of a list when the step is over."""
        places = [key for container, key in self.done.after.values if container == owner and isinstance(key, int)]
        return self.done.after.values[owner, max(places)]

    def _final(self, begun: Tensor, now: Tensor, meta: Meta | None = None) -> _Final:
        if meta is None or meta.is_constant:
            self.parts.append(final(begun, now, self.number))
        else:
            if meta.ragged is not None and meta.group is not None and meta.group not in self.ended:
                length = final(self.lengths[meta.group][0], as_tensor(now.shape[meta.ragged]), self.number)
                self.parts.append(length)
                self.ended[meta.group] = as_size(length)
            self.parts.append(grown(begun, now, meta.shape_at(self.ran, self.ended), self.number))
        return _Final(self.parts[-1], is_number=False)

    def _left(self, value: Any) -> Any:
        """A value with its tensors as they are read outside of the loop."""
        leaves, form = tree_flatten(value)
        return tree_unflatten([self._left_leaf(leaf) for leaf in leaves], form)

    def _left_leaf(self, leaf: Any) -> Any:
        if not isinstance(leaf, _Final):
            return leaf
        left = leave(leaf.tensor, self.closed[0], self.number)
        return as_number(left) if leaf.is_number else left

    def _is_known(self, slot: Slot) -> bool:
        return slot[0] == 0 or slot[0] in self.done.before.containers

    def _value(self, slot: Slot) -> list[Any]:
        """What is in a slot after the loop; empty if that is what was there before."""
        was, now = self.done.value(slot), self.done.after.values[slot]
        kept = self.plan.carried.get(slot)
        if kept is None:
            return [self._last_tree(was, now)] if is_changed(was, now) else []
        if slot not in self.done.placed or not self.done.placed[slot].tensors:
            return [self.done.before.values[slot] + kept.by * self.ran] if isinstance(kept, Counter) else [now]
        assert isinstance(kept, Carried)
        ended = [
            replace(self._final(begun, as_leaf(leaf, meta), meta), is_number=meta.kind == "number")
            for begun, leaf, meta in zip(self.done.placed[slot].tensors, tree_leaves(now), kept.leaves, strict=True)
        ]
        return [tree_unflatten(ended, kept.form)]

    def _last_tree(self, was: Any, now: Any) -> Any:
        """What no step reads: its value in the last one, or the one before the loop if there was none."""
        if isinstance(now, Undefined):
            return UNDEFINED
        leaves, form = tree_flatten(now)
        before, form_before = tree_flatten(was)
        if form_before != form:
            before = [was] * len(leaves)
        return tree_unflatten([self._last(x, y) for x, y in zip(before, leaves, strict=True)], form)

    def _last_tensor(self, was: Any, leaf: Tensor) -> Any:
        ragged = [k for k, size in enumerate(leaf.shape) if self._is_of_step(size)]
        if len(ragged) == 1 and self.may_grow:
            return _Final(self._joining(last(leaf, ragged[0], self.number)).ended, is_number=False)
        if ragged:
            return UNDEFINED
        similar = isinstance(was, Tensor) and was.dtype == leaf.dtype and was.dim() == leaf.dim()
        fits = similar and all(map(same, was.shape, leaf.shape))
        if self.may_be_empty and isinstance(was, Tensor) and not fits:
            return UNDEFINED
        begun = carry(was if fits else torch.zeros(leaf.shape, dtype=leaf.dtype, device=leaf.device), self.number)
        return self._final(begun, leaf)

    def _last(self, was: Any, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return self._last_tensor(was, leaf)
        if not is_symbolic(leaf):
            return leaf
        symbol, expr = expression(self.done.number), expression(leaf)
        computed = {other for other in expr.free_symbols if is_unbacked(other)}
        if isinstance(leaf, SymInt) and computed <= {symbol}:
            return number_of(expr.subs(symbol, expression(self.ran) - 1))
        begun = carry(torch.zeros((), dtype=dtype_of(leaf)), self.number)
        return replace(self._final(begun, as_tensor(leaf)), is_number=True)

    def _longer(self) -> dict[int, list[Any]]:
        """The items that a step appended, by the identity of the list."""
        found: dict[int, list[Any]] = {}
        for (owner, key), value in self.done.after.values.items():
            container = self.done.before.containers.get(owner)
            if (WHOLE, owner) in self.plan.carried:
                continue
            if isinstance(container, list) and (owner, key) not in self.done.before.values:
                found.setdefault(owner, []).append(value)
        return found

    def _extend(self, container: list[Any], items: list[Any]) -> None:
        front = [item.item for item in items if isinstance(item, Front)]
        if front and len(front) < len(items):
            raise UnrolledError("a step puts items at both ends of a list")
        if front:
            container[:0] = [flipped(part) for part in self._collected(front)]
        else:
            container.extend(self._collected(items))

    def _joined(self, items: list[Any]) -> Joined | None:
        """What steps put in a list, one after the other, if its size differs from step to step."""
        first = items[0].item if isinstance(items[0], (Front, Maybe)) else items[0]
        if not isinstance(first, Tensor):
            return None
        ragged = [k for k, size in enumerate(first.shape) if self._is_of_step(size)]
        if not ragged:
            return None
        if not self.may_grow:
            raise StepsDifferError("a step puts a tensor in a list whose size is another one in every step")
        if len(items) > 1 or len(ragged) > 1:
            raise UnrolledError(
                "a step puts several tensors in a list, or one of which several sizes differ from step to step"
            )
        condition = items[0].condition if isinstance(items[0], Maybe) else None
        return self._joining(joined(first, ragged[0], condition, self.number, self.next_number))

    def _joining(self, made: Joined) -> Joined:
        """Have the loop carry this."""
        if not self.marked:
            self.marked.append(all_steps(self.ran, self.number))
        self.parts.extend(made.parts)
        return made

    def _extend_ragged(self, container: list[Any], items: list[Any], made: Joined) -> None:
        sizes = self._collect_leaf(made.size)
        if isinstance(items[0], Maybe):
            held = self._collect_leaf(items[0].condition.reshape(()))
            sizes = sizes.index_select(0, held.nonzero().squeeze(1))
        whole = Ragged(leave(made.ended, self.closed[0], self.number), sizes, made.dim)
        if isinstance(items[0], Front):
            container[:0] = [whole.flipped()]
        else:
            container.append(whole)

    def _collected(self, items: list[Any]) -> list[Any]:
        if any(isinstance(item, Maybe) for item in items):
            return [self._filtered(items)]
        if any(isinstance(item, Collected) for item in items):
            return [self._collect_series(listed(items))]
        return [self._in_turn([self._collect_tree(item) for item in items])]

    def _collect_series(self, items: Collected) -> Collected:
        """What the steps of a loop within this one appended to a list of before it."""
        if is_data_dependent(items.count):
            raise UnrolledError("a loop in a loop appends to a list, and not as often in every step")
        return items.map(lambda leaf: self._collect_leaf(leaf).flatten(0, 1), self.ran * items.count)

    def _filtered(self, items: list[Any]) -> Collected:
        """What was appended in those steps in which a condition held; a step may append several."""
        always = torch.ones((), dtype=torch.bool)
        given = [item if isinstance(item, Maybe) else Maybe(always, item) for item in items]
        whole = self._in_turn([self._collect_tree(item.item) for item in given])
        held = torch.stack([self._collect_leaf(item.condition.reshape(())) for item in given], 1).flatten()
        places = held.nonzero().squeeze(1)
        return whole.map(lambda leaf: leaf.index_select(0, places), places.shape[0])

    def _in_turn(self, parts: list[Collected]) -> Collected:
        """The first items of all parts, then the second ones, and so on."""
        if len(parts) == 1:
            return parts[0]
        form = tree_flatten(parts[0].stacked)[1]
        together = zip(*(tree_leaves(part.stacked) for part in parts), strict=True)
        joined = [torch.stack(leaves, 1).flatten(0, 1) for leaves in together]
        return Collected(self.ran * len(parts), tree_unflatten(joined, form), parts[0].numbers)

    def _collect_tree(self, item: Any) -> Collected:
        leaves, form = tree_flatten(item)
        numbers = tuple(is_number(leaf) for leaf in leaves)
        return Collected(self.ran, tree_unflatten([self._collect_leaf(leaf) for leaf in leaves], form), numbers)

    def _collect_leaf(self, leaf: Any) -> Tensor:
        if not isinstance(leaf, Tensor) and not is_number(leaf):
            raise UnrolledError(f"a step puts {type_in_words(leaf)} in a list")
        if isinstance(leaf, Tensor) and any(map(self._is_of_step, leaf.shape)):
            raise RaggedError
        made: Tensor = collect(as_tensor(leaf), self.closed[0], self.ran, self.number)
        return made

    def _is_of_step(self, size: Any) -> bool:
        return is_symbolic(size) and any(
            is_unbacked(symbol) and symbol not in self.outer for symbol in expression(size).free_symbols
        )

    def _write(self, write: StepWrite) -> None:
        """`target[..., i, ...] = value` of all steps at once, or `target[..., i * width : (i + 1) * width, ...]`."""
        index = write.index if isinstance(write.index, tuple) else (write.index,)
        at, start, width = next(
            (k, *found) for k, part in enumerate(index) if (found := step_in(part, self.done.number)) is not None
        )
        slope, first = _affine(expression(start), expression(self.done.number))
        if width is not None and slope != width:
            raise UnrolledError("a step writes to places of which the step before has written some, or leaves some out")
        kept = sum(isinstance(part, slice) for part in index[:at])
        if Ellipsis in index[:at]:
            dims_of_rest = sum(part is not Ellipsis for part in index)
            kept = write.target.dim() - dims_of_rest + kept
        one = 0 if width is None else slice(0, width)
        shape = torch.empty(tuple(write.target.shape))[(*index[:at], one, *index[at + 1 :])].shape
        value = as_tensor(write.value).to(write.target.dtype).expand(shape)
        values = self._collect_leaf(value).movedim(0, kept)
        values = values if width is None else values.flatten(kept, kept + 1)
        place = self._places(slope, first, width, write.target.shape[dimension_of(index, at, write.target.dim())])
        values = values.flip(kept) if slope == -1 else values
        write.target[(*index[:at], place, *index[at + 1 :])] = values

    def _places(self, slope: int, first: Any, width: int | None, size: Any) -> Any:
        """Where all steps have written: step `i` from `first + slope * i` on."""
        after = first + slope * self.ran if slope > 0 else first + 1
        begin = first if slope > 0 else first + slope * (self.ran - 1)
        if width is None and slope not in (1, -1):
            return torch.arange(self.ran) * slope + first
        return slice(None) if same(begin, 0) and same(after, size) else slice(begin, after)


def _affine(expr: Any, symbol: Any) -> tuple[int, Any]:
    """`slope * symbol + first`.

    Raises:
        UnrolledError: it is not of this form.
    """
    slope, first = expr.coeff(symbol, 1), expr.subs(symbol, 0)
    if not slope.is_Integer or (expr - slope * symbol - first).expand() != 0:
        raise UnrolledError("a step writes to a place that is no multiple of its number")
    return int(slope), number_of(first)
