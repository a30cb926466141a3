"""One step of a loop as a graph of its own: carried values, elements and invariants in, the next values out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from .blocks import (
    InductionVariable,
    Invariant,
    Local,
    LoopCarried,
    Operand,
    Path,
    RerolledLoop,
    ScanInput,
    operands_of,
)
from .needs import Needs
from .sizes import is_size
from .values import Op, for_tensors, origin, replaced

_aten = torch.ops.aten

# The element that says whether a step counts.
_COUNTS = "counts"


@dataclass(frozen=True)
class Slot:
    """A carried value: what `position` computed `lag` steps before, of which `initial` holds before the first step."""

    operand: LoopCarried
    lag: int

    @property
    def initial(self) -> Invariant:
        # A value that is kept longer than any step needs it begins with what nobody sees.
        return self.operand.initial[max(len(self.operand.initial) - self.lag, 0)]


@dataclass(frozen=True)
class Body:
    """A step as a module, what it takes in order, and at which of its outputs final and stacked results are.

    `finals` has an output for a position and how many steps before the last its result is.
    If it `idles`, it takes one element more, after the others: whether the step counts.
    """

    module: fx.GraphModule
    slots: Sequence[Slot]
    scanned: Sequence[ScanInput | InductionVariable]
    invariants: Sequence[Node]
    finals: Mapping[tuple[int, int], int]
    steps: Mapping[int, int]
    idles: bool


def write_body(loop: RerolledLoop, needs: Needs, outside: Callable[[Invariant, Op], Any], *, idles: bool) -> Body:
    """The body of a loop that puts out what is needed.

    Args:
        outside: gives the constant, or the node outside the body, for what is the same in every step.
        idles: whether a step may be told to leave the carried values as they are.
    """
    return _BodyWriter(loop, needs, outside).body(needs.stacked, idles)


class _BodyWriter:
    def __init__(self, loop: RerolledLoop, needs: Needs, outside: Callable[[Invariant, Op], Any]) -> None:
        self._loop = loop
        self._graph = fx.Graph()
        operands = list(operands_of((loop.args, loop.kwargs)))
        carried = dict.fromkeys(o for o in operands if isinstance(o, LoopCarried))
        self._slots = [
            Slot(o, lag)
            for o in carried
            for lag in range(1, max(len(o.initial), 0 if o.path else needs.behind.get(o.position, 0) + 1) + 1)
        ]
        # A scan needs something to run over, if only the number of the step.
        self._scanned = list(dict.fromkeys(o for o in operands if isinstance(o, (ScanInput, InductionVariable)))) or [
            InductionVariable(0, 1)
        ]
        self._fixed = {
            id(o): outside(o, op)
            for op, args, kwargs in zip(loop.ops, loop.args, loop.kwargs, strict=True)
            for o in operands_of((args, kwargs))
            if isinstance(o, Invariant)
        }
        self._invariants = list(dict.fromkeys(node for found in self._fixed.values() for node in _tensors(found)))
        self._inputs: dict[Any, Node] = {}
        self._results: list[Node] = []

    def body(self, stacked: Sequence[int], idles: bool) -> Body:
        marks = [_COUNTS] if idles else []
        for kind, keys in (
            ("carry", self._slots),
            ("x", [*self._scanned, *marks]),
            ("invariant", self._invariants),
        ):
            for i, key in enumerate(keys):
                self._inputs[key] = self._graph.placeholder(f"{kind}_{i}")
        for op, args, kwargs in zip(self._loop.ops, self._loop.args, self._loop.kwargs, strict=True):
            counts = any(isinstance(o, InductionVariable) for o in operands_of((args, kwargs)))
            target = for_tensors(op.target) if counts else op.target
            node = self._graph.call_function(target, replaced(args, self._operand), replaced(kwargs, self._operand))
            node.meta = origin(op.node)
            self._results.append(node)
        nexts = [self._next(slot) for slot in self._slots]
        if idles:
            nexts = [
                self._call(_aten.where.self, self._inputs[_COUNTS], new, self._inputs[slot])
                for slot, new in zip(self._slots, nexts, strict=True)
            ]
        # A scan's outputs may be neither its inputs nor one another.
        outputs = [self._call(_aten.clone.default, node) for node in (*nexts, *(self._results[p] for p in stacked))]
        self._graph.output(outputs)
        finals = {
            (slot.operand.position, slot.lag - 1): i for i, slot in enumerate(self._slots) if not slot.operand.path
        }
        steps = {position: len(nexts) + i for i, position in enumerate(stacked)}
        module = fx.GraphModule(_Nothing(), self._graph)
        return Body(module, self._slots, self._scanned, self._invariants, finals, steps, idles)

    def _next(self, slot: Slot) -> Node:
        if slot.lag > 1:
            return self._inputs[Slot(slot.operand, slot.lag - 1)]
        return self._picked(self._results[slot.operand.position], slot.operand.path)

    def _operand(self, operand: Operand) -> Any:
        if isinstance(operand, Invariant):
            return self._invariant(self._fixed[id(operand)])
        if isinstance(operand, Local):
            return self._picked(self._results[operand.position], operand.path)
        if isinstance(operand, LoopCarried):
            return self._inputs[Slot(operand, len(operand.initial))]
        return self._inputs[operand]

    def _invariant(self, found: Any) -> Any:
        """The input that holds a tensor from outside; a size from outside is computed again, from a tensor's shape."""
        if not isinstance(found, Node):
            return found
        if is_size(found):
            return self._call(found.target, *map(self._invariant, found.args))
        return self._inputs[found]

    def _picked(self, node: Node, path: Path) -> Node:
        for dim, (index, _) in path:
            node = self._call(_aten.select.int, node, dim, index)
        return node

    def _call(self, target: Any, *args: Any) -> Node:
        return self._graph.call_function(target, args)


def _tensors(found: Any) -> Iterator[Node]:
    """The tensors that a value from outside is, or that a size is computed from."""
    if isinstance(found, Node) and is_size(found):
        for argument in found.args:
            yield from _tensors(argument)
    elif isinstance(found, Node):
        yield found


class _Nothing(torch.nn.Module):
    """A body has no parameters of its own: they come in as invariants."""
