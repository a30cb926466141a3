"""From loops and what lies between them to a module that runs at every length: one `scan` per loop."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from itertools import zip_longest
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from .blocks import InductionVariable, RerolledLoop, ScanInput, Trace, operands_of
from .body import Body, Slot, write_body
from .needs import JOINS, find_needs, parts_of
from .repeats import UnlikeError
from .series import Series
from .sizes import Sizes
from .values import Leaf, Op, Pick, Program, Steps, Value, dtype_of, is_value, origin, shape_of

_aten = torch.ops.aten
_END = 2**63 - 1
_SPLITS = {_aten.split.Tensor, _aten.chunk.default}
Placed = tuple[RerolledLoop, tuple[int, int]]


@dataclass(frozen=True)
class _Rolled:
    """A loop that has been written: its body and its scan node."""

    body: Body
    scan: Node


def write(programs: tuple[Program, Program], sides: tuple[Trace, Trace], loops: Sequence[Placed]) -> fx.GraphModule:
    """The shorter capture's module with its repeated steps rolled, and its sizes read from its inputs.

    Raises:
        UnlikeError: outside the loops, the captures differ in more than their sizes.
    """
    return _Writer(programs, sides, loops).module()


class _Writer:
    def __init__(self, programs: tuple[Program, Program], sides: tuple[Trace, Trace], loops: Sequence[Placed]) -> None:
        self._programs = programs
        self._sides = sides
        self._loops = [loop for loop, _ in loops]
        self._starts = {starts[0]: i for i, (_, starts) in enumerate(loops)}
        self._graph = fx.Graph()
        self._sizes = Sizes(self._graph)
        self._nodes: dict[tuple[Value, Value], Node] = {}
        self._rolled: dict[int, _Rolled] = {}
        self._needs = find_needs(programs, sides, self._loops)

    def module(self) -> fx.GraphModule:
        short, long = self._programs
        for a, b in zip_longest(short.leaves, long.leaves):
            if a != b:
                raise UnlikeError("The model takes other constants at another length", None)
            self._leaf(a, b)
        i = j = 0
        while i < len(short.ops):
            if i in self._starts:
                loop = self._loops[self._starts[i]]
                self._loop(self._starts[i], loop)
                i, j = i + len(loop.ops) * loop.count[0], j + len(loop.ops) * loop.count[1]
            else:
                self._op(short.ops[i], long.ops[j])
                i, j = i + 1, j + 1
        self._graph.output(self._paired(short.output, long.output, None))
        self._graph.set_codegen(short.module.graph._codegen)
        module = fx.GraphModule(short.module, self._graph)
        module.graph.eliminate_dead_code()
        module.recompile()
        return module

    def _leaf(self, a: Leaf, b: Leaf) -> None:
        node = self._graph.placeholder(a.target) if a.op == "placeholder" else self._graph.get_attr(a.target)
        self._enter(node, a, b)

    def _op(self, a: Op, b: Op) -> None:
        if a.target in JOINS:
            node = self._join(a, b)
        elif a.target in _SPLITS and _grows(a, b):
            node = self._split(a, b)
        else:
            args = self._paired(a.args, b.args, a)
            node = self._call(a.target, *args, **self._paired(dict(a.kwargs), dict(b.kwargs), a))
        self._enter(node, a, b)

    def _enter(self, node: Node, a: Leaf | Op, b: Leaf | Op) -> None:
        node.meta = origin(a.node)
        self._nodes[a, b] = node
        self._sizes.add(node, a, b)

    def _call(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        return self._graph.call_function(target, args, kwargs)

    def _paired(self, a: Any, b: Any, op: Op | None) -> Any:
        """An argument of an operation outside the loops, as it is at every length."""
        if isinstance(a, (tuple, list)):
            if not isinstance(b, (tuple, list)) or len(a) != len(b):
                raise UnlikeError("takes one tensor per step", op)
            return type(a)(self._paired(x, y, op) for x, y in zip(a, b, strict=True))
        if isinstance(a, Mapping):
            return {key: self._paired(part, b[key], op) for key, part in a.items()}
        return self._fixed(self._sides[0].outside(a), self._sides[1].outside(b), op)

    def _fixed(self, a: Any, b: Any, op: Op | None) -> Any:
        """A constant, a size, or the node of a value from outside a loop."""
        if is_value(a) and is_value(b):
            return self._value(a, b, op)
        if type(a) is type(b) and a == b:
            return a
        number = self._sizes.number(a, b) if type(a) is type(b) is int else None
        if number is None:
            raise UnlikeError(f"takes {a!r} for one length and {b!r} for the next", op)
        return number

    def _value(self, a: Value, b: Value, op: Op | None) -> Node:
        if (a, b) not in self._nodes:
            if isinstance(a, Pick) and isinstance(b, Pick) and a.dim == b.dim:
                self._nodes[a, b] = self._pick(a, b, op)
            elif isinstance(a, Steps) and a == b:
                rolled = self._rolled[a.loop]
                steps = self._call(operator.getitem, rolled.scan, rolled.body.steps[a.position])
                self._nodes[a, b] = self._call(_aten.slice.Tensor, steps, 0, 1, _END) if rolled.body.idles else steps
            else:
                raise UnlikeError("takes its input from another place at another length", op)
        return self._nodes[a, b]

    def _pick(self, a: Pick, b: Pick, op: Op | None) -> Node:
        if isinstance(a.base, Steps):
            rolled, count = self._rolled[a.base.loop], self._loops[a.base.loop].count
            behind = count[0] - 1 - a.index
            is_near_end = behind == count[1] - 1 - b.index
            if is_near_end and (a.base.position, behind) in rolled.body.finals:
                return self._call(operator.getitem, rolled.scan, rolled.body.finals[a.base.position, behind])
        base = self._value(a.base, b.base, op)
        sizes = self._lengths(a.base, b.base, a.dim)
        return self._call(_aten.select.int, base, a.dim, self._index((a.index, b.index), sizes, op))

    def _lengths(self, a: Value, b: Value, dim: int) -> tuple[Any, Any]:
        """The size of a dimension in both captures."""
        if isinstance(a, Steps):
            return self._loops[a.loop].count
        shapes = shape_of(a), shape_of(b)
        return (None, None) if shapes[0] is None or shapes[1] is None else (shapes[0][dim], shapes[1][dim])

    def _index(self, indices: tuple[int, int], sizes: tuple[Any, Any], op: Op | None) -> Any:
        """An index counted from the start, else from the end, else computed."""
        a, b = indices
        if a != b and isinstance(sizes[0], int) and isinstance(sizes[1], int) and a - sizes[0] == b - sizes[1] < 0:
            return a - sizes[0]
        return self._fixed(a, b, op)

    def _split(self, a: Op, b: Op) -> Node:
        """A split of a size that grows into parts of known sizes: PyTorch cannot tell how many there would be."""
        at = a.args[2] if len(a.args) > 2 else 0
        sizes = [
            self._fixed(short.shape[at], long.shape[at], a) for short, long in zip(a.content, b.content, strict=True)
        ]
        tensor = self._paired(a.args[0], b.args[0], a)
        return self._call(_aten.split_with_sizes.default, tensor, sizes, at)

    def _join(self, a: Op, b: Op) -> Node:
        """`cat` or `stack` of a list in which some parts are the steps of a loop or the elements of a tensor."""
        dim = (a.args[1] if len(a.args) > 1 else a.kwargs.get("dim", 0)) % len(shape_of(a) or (0,))
        short, long = (parts_of(side, op) for side, op in zip(self._sides, (a, b), strict=True))
        if len(short) != len(long):
            raise UnlikeError("joins its parts in another order at another length", a)
        parts = [self._part(x, y, dim, a) for x, y in zip(short, long, strict=True)]
        return parts[0] if len(parts) == 1 else self._call(_aten.cat.default, parts, dim)

    def _part(self, a: Series | Value, b: Series | Value, dim: int, op: Op) -> Node:
        is_new = JOINS[op.target]
        if isinstance(a, Series) and isinstance(b, Series):
            node = self._series(a, b, op)
            if dim:
                # The model may take a view of what it joined.
                node = self._call(_aten.contiguous.default, self._call(_aten.movedim.int, node, 0, dim))
            return node if is_new else self._call(_aten.flatten.using_ints, node, dim, dim + 1)
        if isinstance(a, Series) or isinstance(b, Series):
            raise UnlikeError("joins its parts in another order at another length", op)
        node = self._value(a, b, op)
        return self._call(_aten.unsqueeze.default, node, dim) if is_new else node

    def _series(self, a: Series, b: Series, op: Op | None) -> Node:
        """The elements of a series stacked along dimension 0."""
        if (a.dim, a.stride) != (b.dim, b.stride) or [dim for dim, _ in a.path] != [dim for dim, _ in b.path]:
            raise UnlikeError("takes its input from another place at another length", op)
        node = self._value(a.base, b.base, op)
        sizes = self._lengths(a.base, b.base, a.dim)
        low, high = (a.low, b.low), (a.low + a.count, b.low + b.count)
        if low != (0, 0) or high != sizes:
            end = _END if high == sizes else self._index(high, sizes, op)
            node = self._call(_aten.slice.Tensor, node, a.dim, self._index(low, sizes, op), end)
        if a.stride == -1:
            node = self._call(_aten.flip.default, node, [a.dim])
        if a.dim:
            node = self._call(_aten.movedim.int, node, a.dim, 0)
        for (dim, i), (_, j) in zip(a.path, b.path, strict=True):
            node = self._call(_aten.select.int, node, dim + 1, self._fixed(i, j, op))
        return node

    def _loop(self, index: int, loop: RerolledLoop) -> None:
        body = write_body(
            loop,
            self._needs[index],
            lambda fixed, op: self._fixed(fixed.short, fixed.long, op),
            idles=self._may_have_no_step(loop),
        )
        inits = [self._initial(slot, loop) for slot in body.slots]
        xs = [
            self._elements(o, loop.ops[0]) if isinstance(o, ScanInput) else self._numbers(o, loop) for o in body.scanned
        ]
        if body.idles:
            xs = self._with_idle_step(body, xs)
        module = self._programs[0].module
        # A module that is rolled along one dimension may be rolled again along another.
        name = next(name for i in count_from(index) if not hasattr(module, name := f"loop_{i}"))
        setattr(module, name, body.module)
        # PyTorch refuses inputs that are views of one tensor, such as a weight and its transpose.
        invariants = tuple(
            node if node.op == "get_attr" else self._call(_aten.clone.default, node) for node in body.invariants
        )
        scan = self._call(torch.ops.higher_order.scan, self._graph.get_attr(name), inits, xs, invariants)
        scan.meta = origin(loop.ops[0].node)
        self._rolled[index] = _Rolled(body, scan)

    def _may_have_no_step(self, loop: RerolledLoop) -> bool:
        """Whether the loop runs over a part of its sequence only, such as all but the first element."""
        scanned = [o for o in operands_of((loop.args, loop.kwargs)) if isinstance(o, (ScanInput, InductionVariable))]
        return bool(scanned) and all(
            isinstance(o, ScanInput)
            and o.first is None
            and o.short.count != self._lengths(o.short.base, o.long.base, o.short.dim)[0]
            for o in scanned
        )

    def _with_idle_step(self, body: Body, xs: Sequence[Node]) -> list[Node]:
        """The elements after a step that does nothing, for a scan over nothing cannot be run; and which steps count."""
        padded = [
            self._call(_aten.constant_pad_nd.default, x, [0, 0] * self._inner_rank(o) + [1, 0])
            for x, o in zip(xs, body.scanned, strict=True)
            if isinstance(o, ScanInput)
        ]
        steps = self._call(_aten.arange.default, self._call(_aten.sym_size.int, padded[0], 0))
        return [*padded, self._call(_aten.gt.Scalar, steps, 0)]

    def _inner_rank(self, operand: ScanInput) -> int:
        """How many dimensions the elements of a series have."""
        base = operand.short.base
        inner = self._loops[base.loop].ops[base.position] if isinstance(base, Steps) else base
        return len(shape_of(inner) or ()) - (0 if isinstance(base, Steps) else 1) - len(operand.short.path)

    def _initial(self, slot: Slot, loop: RerolledLoop) -> Node:
        """The initial value in the shape and dtype that a carried value has."""
        op = loop.ops[slot.operand.position]
        dims, dtype = [dim for dim, _ in slot.operand.path], dtype_of(op)
        node: Any = self._fixed(slot.initial.short, slot.initial.long, op)
        if not isinstance(node, Node):
            return self._call(_aten.full.default, self._shape(op, dims), node, dtype=dtype)
        node = self._shaped(node, slot.initial.short, op, dims)
        if dtype != dtype_of(slot.initial.short):
            node = self._call(_aten.to.dtype, node, dtype)
        # When PyTorch 2.13 captures a scan of which two inputs are one tensor, its body takes the one for the other.
        return self._call(_aten.clone.default, node)

    def _shaped(self, node: Node, value: Value, like: Op, dims: Sequence[int]) -> Node:
        have, want = shape_of(value), _without(shape_of(like), dims)
        if want is None or have is None or list(map(str, want)) == list(map(str, have)):
            return node
        return self._call(_aten.expand.default, node, self._shape(like, dims))

    def _shape(self, like: Op, dims: Sequence[int]) -> list[Any]:
        """The shape of what an operation computes, or of an element of it, as it is at every length."""
        sizes = [self._sizes.dimension(size) for size in _without(shape_of(like), dims) or ()]
        if None in sizes:
            raise UnlikeError("starts from a value of another shape", like)
        return sizes

    def _elements(self, operand: ScanInput, op: Op) -> Node:
        """What a loop runs over, stacked along dimension 0."""
        rest = self._series(operand.short, operand.long, op)
        if operand.first is None:
            return rest
        first = self._fixed(operand.first.short, operand.first.long, op)
        return self._call(_aten.cat.default, [self._call(_aten.unsqueeze.default, first, 0), rest])

    def _numbers(self, operand: InductionVariable, loop: RerolledLoop) -> Node:
        steps = self._sizes.number(*loop.count)
        if steps is None:
            raise UnlikeError("counts to a number that no input has for a size", loop.ops[0])
        numbers = self._call(_aten.arange.default, steps)
        if operand.stride != 1:
            numbers = self._call(_aten.mul.Tensor, numbers, operand.stride)
        return self._call(_aten.add.Tensor, numbers, operand.start) if operand.start else numbers


def _grows(a: Op, b: Op) -> bool:
    """Whether the parts of a split have plain numbers for sizes, which are others at another length."""
    parts = zip(a.content, b.content, strict=True)
    sizes = [pair for short, long in parts for pair in zip(short.shape, long.shape, strict=True)]
    return any(isinstance(x, int) and isinstance(y, int) and x != y for x, y in sizes)


def _without(shape: tuple[Any, ...] | None, dims: Sequence[int]) -> tuple[Any, ...] | None:
    for dim in dims:
        shape = None if shape is None else shape[:dim] + shape[dim + 1 :]
    return shape
