"""Write a loop as a `scan`: one step as the body graph, the initial values it starts from, the tensors it runs over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from ...torch_internals.modules import tensor_overload
from .alignment import InductionVariable, Invariant, Local, LoopCarried, Operand, RerolledLoop, ScanInput
from .live_out import LiveOut
from .outer_graph import OuterGraph, WrittenScan
from .repeats import MismatchError
from .values import Op, Picks, dtype_of, is_size, leaves, map_leaves, origin

_aten = torch.ops.aten


@dataclass(frozen=True)
class Carry:
    """One carry of a scan: what a loop-carried operand was `lag` steps ago."""

    operand: LoopCarried
    lag: int

    @property
    def initial(self) -> Invariant:
        # A carry that is older than any operand needs may start from anything: nothing reads it.
        return self.operand.initial[max(len(self.operand.initial) - self.lag, 0)]


@dataclass(frozen=True)
class Body:
    """One step as a module: its inputs in order, and its outputs.

    `finals` is the output that holds the last carry of a position, by (position, steps before the last step); `steps`
    is the output that is stacked, by position.
    """

    module: fx.GraphModule
    carries: Sequence[Carry]
    scanned: Sequence[ScanInput | InductionVariable]
    invariants: Sequence[Node]
    finals: Mapping[tuple[int, int], int]
    steps: Mapping[int, int]


class _BodyWriter:
    def __init__(self, loop: RerolledLoop, live_out: LiveOut, outer: OuterGraph) -> None:
        self._loop = loop
        self._stacked = live_out.stacked
        self._graph = fx.Graph()
        self._carries = list(_carries(loop, live_out))
        # A scan needs something to run over, if only the number of the step.
        self._scanned = _scanned(loop) or [InductionVariable(0, 1)]
        self._invariant_nodes = {
            id(o): outer.merged(o.short, o.long, op)
            for op, args, kwargs in zip(loop.ops, loop.args, loop.kwargs, strict=True)
            for o in leaves((args, kwargs))
            if isinstance(o, Invariant)
        }
        found = self._invariant_nodes.values()
        self._invariants = list(dict.fromkeys(node for outer_node in found for node in _tensors(outer_node)))
        self._inputs: dict[Any, Node] = {}
        self._results: list[Node] = []

    def body(self) -> Body:
        self._add_inputs("carry", self._carries)
        self._add_inputs("x", self._scanned)
        self._add_inputs("invariant", self._invariants)
        self._add_operations()
        nexts = [self._next(carry) for carry in self._carries]
        # PyTorch refuses a body that returns an input, or one tensor twice.
        outputs = [*nexts, *(self._results[position] for position in self._stacked)]
        self._graph.output([self._call(_aten.clone.default, node) for node in outputs])
        finals = {
            (carry.operand.position, carry.lag - 1): i
            for i, carry in enumerate(self._carries)
            if not carry.operand.path
        }
        steps = {position: len(nexts) + i for i, position in enumerate(self._stacked)}
        module = fx.GraphModule(_NoParameters(), self._graph)
        return Body(module, self._carries, self._scanned, self._invariants, finals, steps)

    def _add_inputs(self, kind: str, keys: Sequence[Any]) -> None:
        for i, key in enumerate(keys):
            self._inputs[key] = self._graph.placeholder(f"{kind}_{i}")

    def _add_operations(self) -> None:
        for op, args, kwargs in zip(self._loop.ops, self._loop.args, self._loop.kwargs, strict=True):
            takes_number = any(isinstance(o, InductionVariable) for o in leaves((args, kwargs)))
            target = tensor_overload(op.target) if takes_number else op.target
            node = self._graph.call_function(target, map_leaves(self._operand, args), map_leaves(self._operand, kwargs))
            node.meta = origin(op.node)
            self._results.append(node)

    def _next(self, carry: Carry) -> Node:
        if carry.lag > 1:
            return self._inputs[Carry(carry.operand, carry.lag - 1)]
        return self._picked(self._results[carry.operand.position], carry.operand.path)

    def _operand(self, operand: Operand) -> Any:
        if isinstance(operand, Invariant):
            return self._invariant(self._invariant_nodes[id(operand)])
        if isinstance(operand, Local):
            return self._picked(self._results[operand.position], operand.path)
        if isinstance(operand, LoopCarried):
            return self._inputs[Carry(operand, len(operand.initial))]
        return self._inputs[operand]

    def _invariant(self, found: Any) -> Any:
        """The input that holds an outer tensor; an outer size is computed again, from the shape of such an input."""
        if not isinstance(found, Node):
            return found
        if is_size(found):
            return self._call(found.target, *map(self._invariant, found.args))
        return self._inputs[found]

    def _picked(self, node: Node, path: Picks) -> Node:
        for dim, index in path:
            node = self._call(_aten.select.int, node, dim, index)
        return node

    def _call(self, target: Any, *args: Any) -> Node:
        return self._graph.call_function(target, args)


class _NoParameters(torch.nn.Module):
    """The root of a body, whose parameters come in as invariants."""


def _carries(loop: RerolledLoop, live_out: LiveOut) -> Iterator[Carry]:
    """A carry for each lag up to the largest that an operand or a live-out value needs."""
    for operand in dict.fromkeys(o for o in loop.operands() if isinstance(o, LoopCarried)):
        used_outside = 0 if operand.path else live_out.steps_back.get(operand.position, 0) + 1
        for lag in range(1, max(len(operand.initial), used_outside) + 1):
            yield Carry(operand, lag)


def _scanned(loop: RerolledLoop) -> list[ScanInput | InductionVariable]:
    return list(dict.fromkeys(o for o in loop.operands() if isinstance(o, (ScanInput, InductionVariable))))


def _tensors(found: Any) -> Iterator[Node]:
    """The outer tensors that an invariant is, or from whose shapes a size is computed."""
    if isinstance(found, Node) and is_size(found):
        for argument in found.args:
            yield from _tensors(argument)
    elif isinstance(found, Node):
        yield found


def write_scan(index: int, loop: RerolledLoop, live_out: LiveOut, outer: OuterGraph) -> WrittenScan:
    """Add the `index`-th loop to the outer graph as a `scan`.

    Raises:
        MismatchError: an initial value, or the number of steps, cannot be written for every length.
    """
    body = _BodyWriter(loop, live_out, outer).body()
    inits = [_initial(carry, loop, outer) for carry in body.carries]
    xs = [
        _scan_input(o, loop.ops[0], outer) if isinstance(o, ScanInput) else _step_numbers(o, loop, outer)
        for o in body.scanned
    ]
    # PyTorch refuses inputs that are views of one tensor, such as a weight and its transpose.
    invariants = tuple(
        node if node.op == "get_attr" else outer.call(_aten.clone.default, node) for node in body.invariants
    )
    target = outer.graph.get_attr(_add_submodule(outer.module, index, body.module))
    node = outer.call(torch.ops.higher_order.scan, target, inits, xs, invariants)
    node.meta = origin(loop.ops[0].node)
    return WrittenScan(node, body.finals, body.steps)


def _add_submodule(module: fx.GraphModule, index: int, body: fx.GraphModule) -> str:
    # A module that is rerolled along one dimension may be rerolled again along another.
    name = next(name for i in count_from(index) if not hasattr(module, name := f"loop_{i}"))
    setattr(module, name, body)
    return name


def _initial(carry: Carry, loop: RerolledLoop, outer: OuterGraph) -> Node:
    """The initial value of a carry, in the shape and dtype that the carry has after a step."""
    op = loop.ops[carry.operand.position]
    dims, dtype = [dim for dim, _ in carry.operand.path], dtype_of(op)
    node: Any = outer.merged(carry.initial.short, carry.initial.long, op)
    if not isinstance(node, Node):
        return outer.call(_aten.full.default, outer.shape_like(op, dims), node, dtype=dtype)
    node = outer.expanded(node, carry.initial.short, op, dims)
    if dtype != dtype_of(carry.initial.short):
        node = outer.call(_aten.to.dtype, node, dtype)
    # PyTorch 2.13 confuses two inputs of a scan that are one tensor.
    return outer.call(_aten.clone.default, node)


def _scan_input(operand: ScanInput, op: Op, outer: OuterGraph) -> Node:
    """The elements that a loop runs over, stacked along dimension 0."""
    rest = outer.series(operand.short, operand.long, op)
    if operand.first is None:
        return rest
    first = outer.merged(operand.first.short, operand.first.long, op)
    return outer.call(_aten.cat.default, [outer.call(_aten.unsqueeze.default, first, 0), rest])


def _step_numbers(operand: InductionVariable, loop: RerolledLoop, outer: OuterGraph) -> Node:
    """The values of an induction variable in all steps."""
    steps = outer.sizes.number(*loop.count)
    if steps is None:
        raise MismatchError("counts to a number that is the size of no input", loop.ops[0])
    numbers = outer.call(_aten.arange.default, steps)
    if operand.stride != 1:
        numbers = outer.call(_aten.mul.Tensor, numbers, operand.stride)
    return outer.call(_aten.add.Tensor, numbers, operand.start) if operand.start else numbers
