"""What rewritten code calls: each statement and operator of Python, for values that may not be known yet.

A plain value takes Python's own way. What depends on a size is one way if it is so for every size, and both ways
otherwise.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

import torch
from torch import SymBool, SymFloat, SymInt, Tensor

from ...torch_internals.capture import check
from ...torch_internals.symbols import expression
from ..packed import ListedTensor
from .branches import Condition, Relation, choose_value, decide, negated, nonnegative
from .calls import Calls
from .collected import Collected, Repeated, listed
from .doublings import power, shifted_left, shifted_right
from .loops import UNLIMITED, Loop, Loops, Way
from .numbers import Ranges, as_plain, as_tensor, is_symbolic
from .paths import OpenDecisions, Paths
from .places import element_at, names_place, write_at
from .refusals import RecursionBySizeError, UnrolledError
from .region import dimension_of
from .series import (
    Series,
    count_of,
    holds_collected,
    is_series,
    item_of,
    iterate,
    perhaps,
    series_of,
    sliced,
)
from .slices import Slices, is_computed, is_whole
from .state import UNDEFINED, Scope, Undefined
from .values import Maybe

_IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "Add": operator.iadd,
    "Sub": operator.isub,
    "Mult": operator.imul,
    "Div": operator.itruediv,
    "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod,
    "Pow": power,
    "MatMult": operator.imatmul,
    "BitAnd": operator.iand,
    "BitOr": operator.ior,
    "BitXor": operator.ixor,
    "LShift": shifted_left,
    "RShift": shifted_right,
}

_COMPARISONS = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
}

# So often a decision may be met within one of its own ways.
_DEEPEST = 4

# A loop of so many steps is written once, not unrolled, if its steps are alike.
_FEWEST_STEPS = 8

Names = tuple[str, ...]
Get = Callable[[], tuple[Any, ...]] | None
Set = Callable[[tuple[Any, ...]], None] | None


class Flow:
    """The control flow of one capture.

    Args:
        fixed_loops: whether loops of a plain number of steps are kept whole as well.
        growing: whether a loop may carry what is longer after every step.
    """

    UNDEFINED = UNDEFINED

    def __init__(self, *, fixed_loops: bool, growing: bool) -> None:
        self._ranges = Ranges()
        self.decisions = OpenDecisions()
        self._loops = Loops(self._ranges, self.decisions, growing=growing)
        self.paths = Paths(self, self._ranges, self.decisions, self._loops.unrecorded)
        self.growing = growing
        # Comparisons of tensors of one whole number, by the identity of the result.
        self._compared: dict[int, tuple[Tensor, Relation]] = {}
        self.whole_numbers = self._loops.whole_numbers
        self._calls = Calls(self, self._ranges)
        self._slices = Slices(self._ranges)
        self._deciding: Counter[CodeType] = Counter()
        self._fixed_loops = fixed_loops
        # Comparisons by the identity of the truth value, which is kept so that no other takes its place.
        self._relations: dict[int, tuple[SymBool, Relation]] = {}
        self.call = self._calls.callee
        self.rewritten = self._calls.rewritten
        self.power, self.shifted_left, self.shifted_right = power, shifted_left, shifted_right
        self.constants = self._calls.constants

    # Statements

    def for_(
        self, items: Any, target: Callable[[Any], None], body: Callable[[], None], stop: Callable[[], Any] | None,
        names: Names, get: Get, set: Set, targets: Names,
    ) -> None:  # fmt: skip
        def run(i: Any) -> None:
            target(series.item(i))
            body()

        self.reads_lists(items)
        if not self._is_loop(items, stop):
            self._unrolled(
                items if not isinstance(items, Series) else iterate(items), target, body, stop, names, get, set
            )
            return
        series = series_of(items)
        loop = Loop(series.count, run, None, stop, Scope(names, get, set, (target, body)))
        way = None if is_symbolic(series.count) else self._planned(loop)
        if not is_symbolic(series.count) and not self._is_worth_it(loop, way):
            self._unrolled(iterate(series), target, body, stop, names, get, set)
            return
        self._loops.run(loop, way)
        target(series.item(series.count - 1))

    def reads_lists(self, *values: Any) -> None:
        """Note that lists among these values are read as a whole."""
        for value in values:
            if isinstance(value, list):
                self._loops.list_reads.setdefault(id(value), set()).add("other")

    def length(self, items: Any) -> Any:
        """`len` of anything; that of a list to which the steps of a loop append is a number of its own in each."""
        if not isinstance(items, list):
            return count_of(items)
        self._loops.list_reads.setdefault(id(items), set()).add("length")
        return count_of(items) + self._loops.more_items.get(id(items), 0)

    def is_before_step(self, container: Any) -> bool:
        """Whether a list was there before the step of a loop that is running."""
        return id(container) in self._loops.outer_containers

    def _is_loop(self, items: Any, stop: Callable[[], Any] | None) -> bool:
        if is_series(items):
            return True
        if isinstance(items, Tensor):
            return items.dim() > 0 and (is_symbolic(items.shape[0]) or self._is_long(items.shape[0], stop))
        return isinstance(items, range) and self._is_long(len(items), stop)

    def _is_long(self, count: int, stop: Callable[[], Any] | None) -> bool:
        return stop is not None or (self._fixed_loops and count >= _FEWEST_STEPS)

    def _planned(self, loop: Loop) -> Way | None:
        """How a loop of plain steps can be one symbolic step; None where Python has to run it."""
        try:
            return self._loops.planned(loop)
        except Exception:  # the model's code needs to know the number of the step
            return None

    def _is_worth_it(self, loop: Loop, way: Way | None) -> bool:
        if way is None:
            return False
        return way.plan.is_stopped or (self._fixed_loops and as_plain(loop.count) >= _FEWEST_STEPS)

    def _unrolled(
        self, items: Any, target: Callable[[Any], None], body: Callable[[], None], stop: Callable[[], Any] | None,
        names: Names, get: Get, set: Set,
    ) -> None:  # fmt: skip
        remaining = iter(items)
        for item in remaining:
            target(item)
            body()
            if stop is None:
                continue
            stops = self._decided(stop())
            if stops is True:
                return
            if isinstance(stops, Condition):
                rest = list(remaining)

                def go_on(rest: list[Any] = rest) -> None:
                    self._unrolled(rest, target, body, stop, names, get, set)

                self.if_(stops.tensor, lambda: None, go_on, names, get, set, (target, body))
                return

    def while_(
        self, test: Callable[[], Any], body: Callable[[], None], stop: Callable[[], Any] | None,
        names: Names, get: Get, set: Set,
    ) -> None:  # fmt: skip
        def goes_on() -> Any:
            return self.truth(test()) if stop is None else self.and_(lambda: self.not_(stop()), test)

        loop = Loop(
            UNLIMITED, lambda i: body(), lambda: self.truth(test()), lambda: self.not_(goes_on()),
            Scope(names, get, set, (test, body)),
        )  # fmt: skip
        while True:
            going = self._decided(test())
            if going is False:
                return
            way = None if isinstance(going, Condition) else self._planned(loop)
            stopped = way is not None and way.plan.is_stopped
            if isinstance(going, Condition) or (stopped and not self._is_known_to_end(loop)):
                self._loops.run(loop, way)
                return
            body()
            if stop is not None and self._decided(stop()) is True:
                return

    def _is_known_to_end(self, loop: Loop) -> bool:
        """Whether a loop ends after a few steps, whatever the inputs: it asks numbers and constants alone."""
        assert loop.stop is not None
        before = loop.scope.snapshot()
        try:
            with self._loops.unrecorded():
                for i in range(_FEWEST_STEPS):
                    loop.run(i)
                    if (stops := self._decided(loop.stop())) is not False:
                        return stops is True
        except Exception:  # whatever the model's code raises
            return False
        finally:
            loop.scope.restore(before)
        return False

    def if_(
        self, test: Any, then: Callable[[], Any], orelse: Callable[[], Any], names: Names, get: Get, set: Set,
        reached: Sequence[Callable[..., Any]] = (),
    ) -> None:  # fmt: skip
        condition = self._decided(test)
        if not isinstance(condition, Condition):
            then() if condition else orelse()
            return
        scope = Scope(names, get, set, (then, orelse, *reached))
        before = scope.snapshot()
        compared = self._compared.get(id(test))
        relation = condition.relation if compared is None else compared[1]

        def way(run: Callable[[], Any], holds: bool) -> Callable[[], Any]:
            if relation is None or not (self.growing or condition.symbol is not None):
                return run
            known = nonnegative(relation, holds)

            def where_known() -> None:
                with self._ranges.where(*known):
                    run()

            return where_known

        # The same line within a way of its own decision, again and again, belongs to a function that calls itself.
        code = then.__code__
        if self._deciding[code] >= _DEEPEST:
            raise RecursionBySizeError
        self._deciding[code] += 1
        try:
            decide(condition, way(then, True), way(orelse, False), scope, self._loops.next_number())
        finally:
            self._deciding[code] -= 1
        for container in before.containers.values():
            if isinstance(container, list) and not self.is_before_step(container):
                _settle(container)

    def assert_(self, test: Callable[[], Any], message: Callable[[], Any]) -> None:
        condition = self._decided(test())
        if condition is False:
            raise self.raised(AssertionError(message()))

    def raised(self, error: Any) -> Any:
        """An exception that the model's own code raises, marked as such."""
        made = error() if isinstance(error, type) else error
        made.raised_by_model = True
        return made

    def result(self, value: Any) -> Any:
        """What a function returns; None if it ends without saying."""
        return None if isinstance(value, Undefined) else value

    def setitem(self, owner: Any, index: Any, value: Any) -> None:
        if isinstance(owner, list) and (holds_collected(owner) or is_symbolic(index)):
            self._put(owner, index, value)
            return
        if isinstance(owner, Tensor) and self.growing:
            index, value = self._slices.written(owner, index, value)
        if isinstance(owner, Tensor) and names_place(index, self._ranges):
            write_at(owner, index, value)
        elif isinstance(owner, Tensor):
            owner[_with_rows(index)] = value
        else:
            owner[index] = value

    def _put(self, owner: list[Any], index: Any, value: Any) -> None:
        """Put an item in a list that is one tensor; that is copied, so that items taken from it stay as they were."""
        whole = owner[0] if len(owner) == 1 else None
        if not isinstance(whole, Collected) or isinstance(index, slice):
            raise UnrolledError("an item is put in a list at a place that is not known")
        place = whole.count + index if not is_symbolic(index) and index < 0 else index
        owner[0] = whole.with_item(place, value)

    def augment_item(self, owner: Any, index: Any, name: str, value: Any) -> None:
        self.setitem(owner, index, _IN_PLACE[name](self.getitem(owner, index), value))

    def augment(self, old: Any, name: str, value: Any) -> Any:
        return _IN_PLACE[name](old, value)

    # Expressions

    def if_exp(
        self, test: Any, then: Callable[[], Any], orelse: Callable[[], Any],
        reached: Sequence[Callable[..., Any]] = (),
    ) -> Any:  # fmt: skip
        made: list[Any] = [UNDEFINED]

        def keep(value: Callable[[], Any]) -> Callable[[], None]:
            def run() -> None:
                made[0] = value()

            return run

        condition = self._decided(test)
        if not isinstance(condition, Condition):
            return then() if condition else orelse()
        test = condition.tensor if condition.symbol is None else condition.symbol
        self.if_(test, keep(then), keep(orelse), (), None, None, (then, orelse, *reached))
        return made[0]

    def and_(self, *values: Callable[[], Any]) -> Any:
        return self._joined(values, "And", until=False)

    def or_(self, *values: Callable[[], Any]) -> Any:
        return self._joined(values, "Or", until=True)

    def _joined(self, values: Sequence[Callable[[], Any]], name: str, until: bool) -> Any:
        """`and` and `or`: what is decided ends them, and of what is not all is computed."""
        joined: Any = None
        last: Any = None
        for value in values:
            last = value()
            decided = self._decided(last)
            if isinstance(decided, Condition):
                joined = last if joined is None else self.both(joined, last, name)
            elif decided is until:
                return last if joined is None else until
        return last if joined is None else joined

    def both(self, left: Any, right: Any, name: str) -> Any:
        """Two values of unknown truth as one; of comparisons of sizes a comparison again."""
        a, b = self._decided(left), self._decided(right)
        assert isinstance(a, Condition)
        assert isinstance(b, Condition)
        if a.symbol is not None and b.symbol is not None:
            both = a.symbol & b.symbol if name == "And" else a.symbol | b.symbol
            if a.relation is not None and b.relation is not None:
                self._relations[id(both)] = (both, Relation(name, a.relation, b.relation))
            return both
        return a.tensor & b.tensor if name == "And" else a.tensor | b.tensor

    def not_(self, value: Any) -> Any:
        decided = self._decided(value)
        if not isinstance(decided, Condition):
            return not decided
        opposite = negated(decided.tensor if decided.symbol is None else decided.symbol)
        if decided.relation is not None:
            self._relations[id(opposite)] = (opposite, decided.relation.negated())
        return opposite

    def item_method(self, value: Any) -> Any:
        """`value.item`; what a tensor would hold may be a number here already."""
        return (lambda: value) if isinstance(value, (SymInt, SymFloat, SymBool)) else value.item

    def tolist_method(self, value: Any) -> Any:
        """`value.tolist`; of a tensor of unknown length, a list of one collected item."""
        tensor = value.tensor if isinstance(value, ListedTensor) else value
        return (lambda: self._calls.tolist(tensor)) if isinstance(tensor, Tensor) else value.tolist

    def compare(self, name: str, left: Any, right: Any) -> Any:
        """`left < right`, say; a comparison of sizes is remembered with both sides."""
        if holds_collected(left) or holds_collected(right):
            raise UnrolledError("a list of unknown length is compared")
        result = _COMPARISONS[name](left, right)
        if self.growing and isinstance(result, Tensor) and is_whole(left) and is_whole(right):
            self._compared[id(result)] = (result, Relation(name, left, right))
        if isinstance(result, SymBool):
            self._relations[id(result)] = (result, Relation(name, left, right))
        return result

    def is_none(self, value: Any) -> Any:
        """`value is None`, which may depend on whether a loop before had a step."""
        there = self._loops.peeling.there(value)
        return value is None if there is None else self.not_(there)

    def in_(self, value: Any, items: Any) -> Any:
        if is_series(items) or is_symbolic(value) or (isinstance(value, Tensor) and isinstance(items, (list, tuple))):
            if is_series(items):
                raise UnrolledError("a value is looked for in a list of unknown length")
            return self.or_(*(lambda item=item: value == item for item in items))
        return value in items

    def getitem(self, owner: Any, index: Any) -> Any:
        index = as_plain(index)
        if isinstance(owner, Tensor):
            return self._element(owner, index)
        if isinstance(owner, list):
            last = self._loops.last_items.get(id(owner))
            self._loops.list_reads.setdefault(id(owner), set()).add("last" if _is_last(index) else "other")
            if last is not None and _is_last(index) and len(owner) == last[1]:
                return last[0]
        if isinstance(owner, Series) or holds_collected(owner):
            return self._part(owner, index) if isinstance(index, slice) else item_of(owner, index)
        if is_symbolic(index) and isinstance(owner, (list, tuple, range)):
            return series_of(owner).item(index)
        if isinstance(owner, torch.nn.ModuleList) and is_symbolic(index):
            raise UnrolledError("each step has a module of its own")
        return owner[index]

    def _part(self, owner: Any, part: slice) -> Any:
        """A slice of a list with collected items, or of a series."""
        if not self.growing or isinstance(owner, Series) or not is_computed(part):
            return sliced(owner, part)
        whole = listed(list(owner))
        count = self._slices.read(whole.first(), [part])[0].shape[0]
        return type(owner)([whole.map(lambda leaf: self._slices.read(leaf, [part])[0], count)])

    def _element(self, tensor: Tensor, index: Any) -> Tensor:
        parts = list(index) if isinstance(index, tuple) else [index]
        if self.growing:
            tensor, parts = self._slices.read(tensor, parts)
        at_place = names_place(tuple(parts), self._ranges)
        if not self.growing and not at_place and not any(map(_is_computed, parts)):
            return tensor[index]
        for at, part in enumerate(parts):
            if isinstance(part, slice) and (window := self._window(part)) is not None:
                dim = dimension_of(parts, at, tensor.dim())
                start, width = window
                if self._ranges.at_least(start, 0) and self._ranges.at_most(start + width, tensor.shape[dim]):
                    tensor = _narrowed(tensor, dim, start, width)
                    parts[at] = slice(None)
        place = tuple(parts) if isinstance(index, tuple) else parts[0]
        return element_at(tensor, place) if at_place else tensor[_with_rows(place)]

    def _window(self, part: slice) -> tuple[Any, Any] | None:
        """The start and the width of a slice whose width is the same in every step, or computed from the step's number.

        Of any other PyTorch does not know the width at all.
        """
        if part.start is None or part.stop is None or part.step not in (None, 1):
            return None
        width = part.stop - part.start
        if not is_symbolic(width):
            return (part.start, as_plain(width)) if width >= 0 else None
        return (part.start, width) if self._ranges.steps_in(width) and self._ranges.at_least(width, 0) else None

    def add(self, left: Any, right: Any) -> Any:
        if isinstance(left, list) and isinstance(right, tuple) and holds_collected(right):
            return [*left, *right]
        return left + right

    def remainder(self, left: Any, right: Any) -> Any:
        """`left % right`, of a negative size (`-T % 4`) by remainders of the size itself, which PyTorch knows."""
        if self._is_negative_size(left, right):
            return (right - -left % right) % right
        return left % right

    def quotient(self, left: Any, right: Any) -> Any:
        """`left // right`; the same for `-(-T // 4)`."""
        if self._is_negative_size(left, right):
            return -((-left + (right - 1)) // right)
        return left // right

    def _is_negative_size(self, left: Any, right: Any) -> bool:
        is_whole = isinstance(left, SymInt) and isinstance(right, int) and right > 0
        return is_whole and is_symbolic(left) and self._ranges.at_least(-left, 0)

    def repeat(self, left: Any, right: Any) -> Any:
        items, times = (left, right) if isinstance(left, list) else (right, left)
        if not is_symbolic(times):
            return left * right
        if len(items) == 1 and isinstance(items[0], int):
            return [Repeated(times, items[0])]
        one = listed(items)
        return [one.map(lambda leaf: leaf.repeat(times, *[1] * (leaf.dim() - 1)), one.count * times)]

    # Truth

    def _decided(self, value: Any) -> bool | Condition:
        """The truth of a value, or the condition that it depends on."""
        if isinstance(value, Condition):
            return value
        if isinstance(value, (SymInt, SymFloat)) and is_symbolic(value):
            value = self.compare("NotEq", value, 0)
        value = as_plain(value)
        if isinstance(value, SymBool):
            return self._decided_by_size(value)
        if isinstance(value, Tensor):
            return self._decided_by_value(value)
        if isinstance(value, (list, Series)) or holds_collected(value):
            return self._decided(self.length(value) > 0)
        return bool(value)

    def _decided_by_size(self, value: SymBool) -> bool | Condition:
        known = self._ranges.known(value)
        if known is not None:
            return known
        remembered = self._relations.get(id(value))
        is_whole = remembered is not None and _is_of_integers(remembered[1])
        if remembered is not None and is_whole:
            self.decisions.meet(remembered[1])
        return Condition(as_tensor(value), value, remembered[1] if remembered is not None and is_whole else None)

    def _decided_by_value(self, value: Tensor) -> bool | Condition:
        if value.numel() != 1:
            return bool(value)
        # Of a buffer that a step or a way has written to it is the copy that is asked.
        flat = value.reshape(())
        constant = self._calls.constants.value(flat)
        if constant is not None:
            return bool(constant)
        return Condition(flat if flat.dtype == torch.bool else flat != 0)

    def truth(self, value: Any) -> Any:
        """The truth of a value: known, or a tensor of one truth value."""
        decided = self._decided(value)
        return decided.tensor if isinstance(decided, Condition) else decided

    def choose(self, test: Any, a: Any, b: Any) -> Any:
        """`a if test else b` of two values."""
        decided = self._decided(test)
        if not isinstance(decided, Condition):
            return a if decided else b
        return choose_value(decided, a, b, self._loops.next_number())


def _with_rows(index: Any) -> Any:
    """An index with a tensor in place of each list that has a symbolic number in it."""
    if isinstance(index, tuple):
        return tuple(map(_with_rows, index))
    if isinstance(index, list) and any(map(is_symbolic, index)):
        return torch.stack([as_tensor(number) for number in index])
    return index


def _settle(items: list[Any]) -> None:
    """Turn items that a decision may have appended into lists of one or none; no loop is going to collect them."""
    items[:] = [perhaps(item.condition, item.item) if isinstance(item, Maybe) else item for item in items]


def _narrowed(tensor: Tensor, dim: int, start: Any, width: Any) -> Tensor:
    """`tensor.narrow`; of a size that is computed PyTorch does not see that the window lies within it."""
    size: Any = tensor.shape[dim]
    if is_symbolic(width):
        return tensor.index_select(dim, torch.arange(width) + start)
    if is_symbolic(size) and not expression(size).is_Symbol:
        check(start <= size - width)
        check(start + width <= size)
    return tensor.narrow(dim, start, width)


def _is_last(index: Any) -> bool:
    return isinstance(index, int) and index == -1


def _is_of_integers(relation: Relation) -> bool:
    if isinstance(relation.left, Relation):
        return True
    return all(isinstance(side, (int, SymInt)) for side in (relation.left, relation.right))


def _is_computed(part: Any) -> bool:
    if isinstance(part, slice):
        return any(map(is_symbolic, (part.start, part.stop, part.step)))
    return isinstance(part, list) and any(map(is_symbolic, part))
