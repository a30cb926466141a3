"""Decisions by sizes made first: each way through the whole model is run apart, with what it knows of its sizes.

Where a decision is made in the middle, what both ways leave has one shape for all sizes, of which nothing is known that
one way knows: a tensor of frames and one of steps cannot both be reshaped to frames afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import sympy
from torch import Tensor, nn

from ...pytorch.source_lines import current_line
from ...torch_internals.symbols import expression, is_unbacked, number_of
from .branches import Relation
from .facts import limits_of
from .numbers import Ranges, is_symbolic
from .refusals import ControlFlowError
from .state import Scope

if TYPE_CHECKING:
    from .flow import Flow

_MOST_PATHS = 8


class OpenDecisionError(BaseException):
    """A decision by sizes that is not made yet. No `Exception`: the model's own code may not catch it."""

    def __init__(self, relation: Relation) -> None:
        super().__init__()
        self.relation = relation


class TooManyPathsError(ControlFlowError):
    """A model goes too many ways by its sizes."""

    remedy = "Compute the same for all sizes: pad to a multiple, say, or choose with torch.where."


class OpenDecisions:
    """Meets the decisions by sizes that are not made yet; `found` tells whether there was one.

    `limits` has the sizes next to which a model goes another way, by the symbol of each, and `lines` where it decides.
    """

    def __init__(self) -> None:
        self.found = False
        self.limits: dict[sympy.Symbol, set[int]] = {}
        self.lines: set[str] = set()
        self._is_looking = False

    def meet(self, relation: Relation) -> None:
        """A decision by a relation that is not known.

        Raises:
            OpenDecisionError: it can be made before the model runs.
        """
        if _is_of_sizes(relation):
            self.found = True
            self.lines.add(current_line())
            for symbol, sizes in limits_of(_as_fact(relation)).items():
                self.limits.setdefault(symbol, set()).update(sizes)
            if self._is_looking:
                raise OpenDecisionError(relation)

    def first(self, run: Callable[[], Any]) -> Relation | None:
        """The first decision that is met by a run."""
        self._is_looking = True
        try:
            run()
        except OpenDecisionError as decision:
            return decision.relation
        finally:
            self._is_looking = False
        return None


class Paths:
    """The ways through one model.

    Args:
        unrecorded: a block of which nothing is recorded.
    """

    def __init__(
        self,
        flow: Flow,
        ranges: Ranges,
        decisions: OpenDecisions,
        unrecorded: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._flow = flow
        self._ranges = ranges
        self._decisions = decisions
        self._unrecorded = unrecorded
        self._parted = 0

    def run(self, model: nn.Module, forward: Callable[[], Any], inputs: Sequence[Tensor]) -> Any:
        """What a model returns, chosen from what each way through it does.

        Raises:
            TooManyPathsError: there are too many.
            Exception: whatever the model's code raises.
        """
        self._parted = 0
        return self._run(model, forward, inputs)

    def _run(self, model: nn.Module, forward: Callable[[], Any], inputs: Sequence[Tensor]) -> Any:
        reached = (lambda: model,)
        relation = self._first_open(forward, Scope((), None, None, reached))
        if relation is None:
            return forward()
        self._parted += 1
        if self._parted >= _MOST_PATHS:
            raise TooManyPathsError(f"it goes more than {_MOST_PATHS} ways by its sizes")
        test = self._again(relation)
        holds = expression(test)

        def way(fact: Any) -> Any:
            with self._ranges.assuming(fact, inputs):
                return self._run(model, forward, inputs)

        return self._flow.if_exp(test, lambda: way(holds), lambda: way(sympy.Not(holds)), reached)

    def _first_open(self, forward: Callable[[], Any], scope: Scope) -> Relation | None:
        before = scope.snapshot()
        try:
            with self._unrecorded():
                return self._decisions.first(forward)
        finally:
            scope.restore(before)

    def _again(self, relation: Relation) -> Any:
        """The comparison with its numbers computed from the sizes of the inputs, where the model has not run yet."""
        left, right = relation.left, relation.right
        if isinstance(left, Relation):
            return self._flow.both(self._again(left), self._again(right), relation.name)
        return self._flow.compare(relation.name, _afresh(left), _afresh(right))


def _is_of_sizes(relation: Relation) -> bool:
    sides = (relation.left, relation.right)
    if isinstance(relation.left, Relation):
        return all(map(_is_of_sizes, sides))
    return not any(
        is_unbacked(symbol) for side in sides if is_symbolic(side) for symbol in expression(side).free_symbols
    )


_RELATIONS = {
    "Eq": sympy.Eq,
    "NotEq": sympy.Ne,
    "Lt": sympy.Lt,
    "LtE": sympy.Le,
    "Gt": sympy.Gt,
    "GtE": sympy.Ge,
    "And": sympy.And,
    "Or": sympy.Or,
}


def _as_fact(relation: Relation) -> Any:
    sides = (relation.left, relation.right)
    if isinstance(relation.left, Relation):
        return _RELATIONS[relation.name](*map(_as_fact, sides))
    return _RELATIONS[relation.name](*map(expression, sides))


def _afresh(number: Any) -> Any:
    return number_of(expression(number)) if is_symbolic(number) else number
