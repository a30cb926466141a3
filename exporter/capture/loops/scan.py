"""A loop as a `scan`: its body, one step as a graph of its own, and what it starts from and runs over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from .alignment import (
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
from .live_out import Needs
from .outside import Outside, WrittenScan
from .repeats import UnlikeError
from .values import Op, dtype_of, for_tensors, is_size, origin, replaced

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


class _BodyWriter:
    def __init__(self, loop: RerolledLoop, needs: Needs, outside: Outside) -> None:
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
            id(o): outside.fixed(o.short, o.long, op)
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


def write_scan(index: int, loop: RerolledLoop, needs: Needs, outside: Outside) -> WrittenScan:
    """Write a loop, the `index`-th, as a `scan` over what its steps take in turn.

    Raises:
        UnlikeError: an initial value, or the number of steps, cannot be written for every length.
    """
    idles = _may_have_no_step(loop, outside)
    body = _BodyWriter(loop, needs, outside).body(needs.stacked, idles)
    inits = [_initial(slot, loop, outside) for slot in body.slots]
    xs = [
        _elements(o, loop.ops[0], outside) if isinstance(o, ScanInput) else _numbers(o, loop, outside)
        for o in body.scanned
    ]
    if idles:
        xs = _with_idle_step(body, xs, outside)
    # PyTorch refuses inputs that are views of one tensor, such as a weight and its transpose.
    invariants = tuple(
        node if node.op == "get_attr" else outside.call(_aten.clone.default, node) for node in body.invariants
    )
    target = outside.graph.get_attr(_add_body(outside.module, index, body.module))
    node = outside.call(torch.ops.higher_order.scan, target, inits, xs, invariants)
    node.meta = origin(loop.ops[0].node)
    return WrittenScan(node, body.finals, body.steps, idles)


def _add_body(module: fx.GraphModule, index: int, body: fx.GraphModule) -> str:
    # A module that is rolled along one dimension may be rolled again along another.
    name = next(name for i in count_from(index) if not hasattr(module, name := f"loop_{i}"))
    setattr(module, name, body)
    return name


def _may_have_no_step(loop: RerolledLoop, outside: Outside) -> bool:
    """Whether the loop runs over a part of its sequence only, such as all but the first element."""
    scanned = [o for o in operands_of((loop.args, loop.kwargs)) if isinstance(o, (ScanInput, InductionVariable))]
    return bool(scanned) and all(
        isinstance(o, ScanInput)
        and o.first is None
        and o.short.count != outside.lengths(o.short.base, o.long.base, o.short.dim)[0]
        for o in scanned
    )


def _with_idle_step(body: Body, xs: Sequence[Node], outside: Outside) -> list[Node]:
    """The elements after a step that does nothing, for a scan over nothing cannot be run; and which steps count."""
    padded = [
        outside.call(_aten.constant_pad_nd.default, x, [0, 0] * outside.inner_rank(o.short) + [1, 0])
        for x, o in zip(xs, body.scanned, strict=True)
        if isinstance(o, ScanInput)
    ]
    steps = outside.call(_aten.arange.default, outside.call(_aten.sym_size.int, padded[0], 0))
    return [*padded, outside.call(_aten.gt.Scalar, steps, 0)]


def _initial(slot: Slot, loop: RerolledLoop, outside: Outside) -> Node:
    """The initial value in the shape and dtype that a carried value has."""
    op = loop.ops[slot.operand.position]
    dims, dtype = [dim for dim, _ in slot.operand.path], dtype_of(op)
    node: Any = outside.fixed(slot.initial.short, slot.initial.long, op)
    if not isinstance(node, Node):
        return outside.call(_aten.full.default, outside.shape_like(op, dims), node, dtype=dtype)
    node = outside.expanded(node, slot.initial.short, op, dims)
    if dtype != dtype_of(slot.initial.short):
        node = outside.call(_aten.to.dtype, node, dtype)
    # When PyTorch 2.13 captures a scan of which two inputs are one tensor, its body takes the one for the other.
    return outside.call(_aten.clone.default, node)


def _elements(operand: ScanInput, op: Op, outside: Outside) -> Node:
    """What a loop runs over, stacked along dimension 0."""
    rest = outside.series(operand.short, operand.long, op)
    if operand.first is None:
        return rest
    first = outside.fixed(operand.first.short, operand.first.long, op)
    return outside.call(_aten.cat.default, [outside.call(_aten.unsqueeze.default, first, 0), rest])


def _numbers(operand: InductionVariable, loop: RerolledLoop, outside: Outside) -> Node:
    steps = outside.sizes.number(*loop.count)
    if steps is None:
        raise UnlikeError("counts to a number that no input has for a size", loop.ops[0])
    numbers = outside.call(_aten.arange.default, steps)
    if operand.stride != 1:
        numbers = outside.call(_aten.mul.Tensor, numbers, operand.stride)
    return outside.call(_aten.add.Tensor, numbers, operand.start) if operand.start else numbers
