"""Write the graph outside the loops: operations of the two captures merged into nodes that hold for every length."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx
from torch.fx import Node

from .alignment import RerolledLoop
from .live_out import JOINS, parts_of
from .repeats import MismatchError, Trace
from .values import Leaf, Op, Pick, Series, Sizes, Stacked, Value, is_value, origin, shape_of

_aten = torch.ops.aten
_END = 2**63 - 1
_SPLITS = {_aten.split.Tensor, _aten.chunk.default}

_OTHER_SOURCE = "reads its input from a different place at another length"
_OTHER_ORDER = "joins its parts in a different order at another length"


@dataclass(frozen=True)
class WrittenScan:
    """A loop in the graph: its `scan` node and, as in `Body`, at which of its outputs final and stacked results are."""

    node: Node
    finals: Mapping[tuple[int, int], int]
    steps: Mapping[int, int]


class OuterGraph:
    """The graph under construction; its nodes are found by the pair of values that they are in the two captures.

    Wherever a method takes a pair, `a` is of the shorter capture and `b` of the longer, and `op` is the operation that
    a `MismatchError` names.
    """

    def __init__(self, module: fx.GraphModule, traces: tuple[Trace, Trace], loops: Sequence[RerolledLoop]) -> None:
        self.module = module
        self.graph = fx.Graph()
        self.sizes = Sizes(self.graph)
        self.scans: dict[int, WrittenScan] = {}
        self._traces = traces
        self._loops = loops
        self._nodes: dict[tuple[Value, Value], Node] = {}

    def leaf(self, a: Leaf, b: Leaf) -> None:
        node = self.graph.placeholder(a.target) if a.op == "placeholder" else self.graph.get_attr(a.target)
        self._record(node, a, b)

    def op(self, a: Op, b: Op) -> None:
        if a.target in JOINS:
            node = self._join(a, b)
        elif a.target in _SPLITS and _grows(a, b):
            node = self._split(a, b)
        else:
            args = self.merged_tree(a.args, b.args, a)
            node = self.call(a.target, *args, **self.merged_tree(dict(a.kwargs), dict(b.kwargs), a))
        self._record(node, a, b)

    def finish(self, a: Any, b: Any) -> fx.GraphModule:
        """The module that returns these values."""
        self.graph.output(self.merged_tree(a, b, None))
        module = fx.GraphModule(self.module, self.graph)
        module.graph.eliminate_dead_code()
        module.recompile()
        return module

    def _record(self, node: Node, a: Leaf | Op, b: Leaf | Op) -> None:
        node.meta = origin(a.node)
        self._nodes[a, b] = node
        self.sizes.add(node, a, b)

    def call(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        return self.graph.call_function(target, args, kwargs)

    def merged_tree(self, a: Any, b: Any, op: Op | None) -> Any:
        """The argument that these two trees are, at every length."""
        if isinstance(a, (tuple, list)):
            if not isinstance(b, (tuple, list)) or len(a) != len(b):
                raise MismatchError("takes one tensor per step", op)
            return type(a)(self.merged_tree(x, y, op) for x, y in zip(a, b, strict=True))
        if isinstance(a, Mapping):
            return {key: self.merged_tree(part, b[key], op) for key, part in a.items()}
        return self.merged(self._traces[0].resolve(a), self._traces[1].resolve(b), op)

    def merged(self, a: Any, b: Any, op: Op | None) -> Any:
        """The constant, the size or the node that these two values are, at every length."""
        if is_value(a) and is_value(b):
            return self._value(a, b, op)
        if type(a) is type(b) and a == b:
            return a
        number = self.sizes.number(a, b) if type(a) is type(b) is int else None
        if number is None:
            raise MismatchError(f"takes {a!r} for one length and {b!r} for the next", op)
        return number

    def _value(self, a: Value, b: Value, op: Op | None) -> Node:
        if (a, b) not in self._nodes:
            if isinstance(a, Pick) and isinstance(b, Pick) and a.dim == b.dim:
                self._nodes[a, b] = self._pick(a, b, op)
            elif isinstance(a, Stacked) and a == b:
                scan = self.scans[a.loop]
                self._nodes[a, b] = self.call(operator.getitem, scan.node, scan.steps[a.position])
            else:
                raise MismatchError(_OTHER_SOURCE, op)
        return self._nodes[a, b]

    def _pick(self, a: Pick, b: Pick, op: Op | None) -> Node:
        if isinstance(a.base, Stacked):
            scan, count = self.scans[a.base.loop], self._loops[a.base.loop].count
            back = count[0] - 1 - a.index
            is_near_end = back == count[1] - 1 - b.index
            if is_near_end and (a.base.position, back) in scan.finals:
                return self.call(operator.getitem, scan.node, scan.finals[a.base.position, back])
        base = self._value(a.base, b.base, op)
        sizes = self.lengths(a.base, b.base, a.dim)
        return self.call(_aten.select.int, base, a.dim, self._index((a.index, b.index), sizes, op))

    def lengths(self, a: Value, b: Value, dim: int) -> tuple[Any, Any]:
        """The size of a dimension in both captures."""
        if isinstance(a, Stacked):
            return self._loops[a.loop].count
        shapes = shape_of(a), shape_of(b)
        return (None, None) if shapes[0] is None or shapes[1] is None else (shapes[0][dim], shapes[1][dim])

    def _index(self, indices: tuple[int, int], sizes: tuple[Any, Any], op: Op | None) -> Any:
        """An index as a number, counted from the start or from the end, or as a node that computes it."""
        a, b = indices
        if a != b and isinstance(sizes[0], int) and isinstance(sizes[1], int) and a - sizes[0] == b - sizes[1] < 0:
            return a - sizes[0]
        return self.merged(a, b, op)

    def _split(self, a: Op, b: Op) -> Node:
        """A split of a dynamic dimension with the sizes spelled out: PyTorch cannot tell how many parts there are."""
        dim = a.args[2] if len(a.args) > 2 else 0
        sizes = [self.merged(x.shape[dim], y.shape[dim], a) for x, y in zip(a.val, b.val, strict=True)]
        tensor = self.merged_tree(a.args[0], b.args[0], a)
        return self.call(_aten.split_with_sizes.default, tensor, sizes, dim)

    def _join(self, a: Op, b: Op) -> Node:
        """A `cat` or `stack` of a list that may hold all steps of a loop or all elements of a tensor."""
        dim = (a.args[1] if len(a.args) > 1 else a.kwargs.get("dim", 0)) % len(shape_of(a) or (0,))
        short, long = (parts_of(trace, op) for trace, op in zip(self._traces, (a, b), strict=True))
        if len(short) != len(long):
            raise MismatchError(_OTHER_ORDER, a)
        parts = [self._part(x, y, dim, a) for x, y in zip(short, long, strict=True)]
        return parts[0] if len(parts) == 1 else self.call(_aten.cat.default, parts, dim)

    def _part(self, a: Series | Value, b: Series | Value, dim: int, op: Op) -> Node:
        is_new = JOINS[op.target]
        if isinstance(a, Series) and isinstance(b, Series):
            node = self.series(a, b, op)
            if dim:
                # The model may view the result, which it expects to be contiguous.
                node = self.call(_aten.contiguous.default, self.call(_aten.movedim.int, node, 0, dim))
            return node if is_new else self.call(_aten.flatten.using_ints, node, dim, dim + 1)
        if isinstance(a, Series) or isinstance(b, Series):
            raise MismatchError(_OTHER_ORDER, op)
        node = self._value(a, b, op)
        return self.call(_aten.unsqueeze.default, node, dim) if is_new else node

    def series(self, a: Series, b: Series, op: Op | None) -> Node:
        """The elements of a series stacked along dimension 0."""
        if (a.dim, a.stride) != (b.dim, b.stride) or [dim for dim, _ in a.path] != [dim for dim, _ in b.path]:
            raise MismatchError(_OTHER_SOURCE, op)
        node = self._value(a.base, b.base, op)
        sizes = self.lengths(a.base, b.base, a.dim)
        low, high = (a.low, b.low), (a.low + a.count, b.low + b.count)
        if low != (0, 0) or high != sizes:
            end = _END if high == sizes else self._index(high, sizes, op)
            node = self.call(_aten.slice.Tensor, node, a.dim, self._index(low, sizes, op), end)
        if a.stride == -1:
            node = self.call(_aten.flip.default, node, [a.dim])
        if a.dim:
            node = self.call(_aten.movedim.int, node, a.dim, 0)
        for (dim, i), (_, j) in zip(a.path, b.path, strict=True):
            node = self.call(_aten.select.int, node, dim + 1, self.merged(i, j, op))
        return node

    def expanded(self, node: Node, value: Value, like: Op, dims: Sequence[int]) -> Node:
        """The node of a value, expanded to the shape of `like` without `dims`."""
        have, want = shape_of(value), _without(shape_of(like), dims)
        if want is None or have is None or list(map(str, want)) == list(map(str, have)):
            return node
        return self.call(_aten.expand.default, node, self.shape_like(like, dims))

    def shape_like(self, like: Op, dims: Sequence[int]) -> list[Any]:
        """The shape of an operation's result without `dims`, as numbers and nodes."""
        sizes = [self.sizes.dimension(size) for size in _without(shape_of(like), dims) or ()]
        if None in sizes:
            raise MismatchError("starts from a value of a different shape", like)
        return sizes


def _grows(a: Op, b: Op) -> bool:
    """Whether the parts of a split are larger in the longer capture."""
    sizes = [pair for x, y in zip(a.val, b.val, strict=True) for pair in zip(x.shape, y.shape, strict=True)]
    return any(isinstance(x, int) and isinstance(y, int) and x != y for x, y in sizes)


def _without(shape: tuple[Any, ...] | None, dims: Sequence[int]) -> tuple[Any, ...] | None:
    for dim in dims:
        shape = None if shape is None else shape[:dim] + shape[dim + 1 :]
    return shape
