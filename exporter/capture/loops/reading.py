"""Read a captured graph as values that look equal in equal steps, however the model indexes and collects.

An element of a sequence is a pick, whether by `x[t]`, `x.unbind()`, `x.split(1)` or `x[:, t:t+1]`. A tensor that is
written element by element is a `stack`; nested concatenations are one `cat`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

from ...torch_internals.modules import ASSERT_TENSOR_METADATA
from .repeats import canonical_order
from .values import Leaf, Op, Pick, Program, Value, map_leaves

_aten = torch.ops.aten

_END = 2**63 - 1
_ALL = range(_END)


@dataclass(frozen=True, eq=False)
class _Written:
    """A tensor some of whose elements along `dim` have been overwritten: `parts`, by index."""

    base: Value
    dim: int
    size: int
    parts: Mapping[int, Any]
    node: Node


@dataclass(frozen=True, eq=False)
class _Joined:
    """A concatenation of parts, none of which is a concatenation along the same dimension itself."""

    dim: int
    parts: tuple[Any, ...]
    node: Node


def read(module: GraphModule) -> Program:
    """The values that a captured module computes."""
    reader = _Reader(module)
    output: Any = None
    for node in module.graph.nodes:
        if node.op == "output":
            output = reader.materialized(reader.arguments(node.args[0]))
        elif node.op == "call_function" and node.target is not ASSERT_TENSOR_METADATA:
            reader.call(node)
        elif node.op in ("placeholder", "get_attr"):
            reader.leaf(node)
    ops, output = canonical_order(reader.ops, output)
    return Program(module, tuple(reader.leaves), ops, output)


class _Reader:
    """Reads a graph node by node; `leaves` and `ops` are in its order."""

    def __init__(self, module: GraphModule) -> None:
        self.leaves: list[Leaf] = []
        self.ops: list[Op] = []
        self._module = module
        self._known: dict[Any, Leaf] = {}
        self._values: dict[Node, Any] = {}
        self._materialized: dict[_Written | _Joined, Op] = {}

    def leaf(self, node: Node) -> None:
        """Read an input, parameter or constant; a parameter may have a node of its own in every step."""
        leaf = Leaf(node.op, str(node.target), node)
        self._values[node] = self._known.setdefault(self._identity(leaf), leaf)
        if self._values[node] is leaf:
            self.leaves.append(leaf)

    def _identity(self, leaf: Leaf) -> Any:
        tensor = operator.attrgetter(leaf.target)(self._module) if leaf.op == "get_attr" else None
        if not isinstance(tensor, torch.Tensor):
            return leaf
        kind = (tensor.dtype, tensor.shape, tensor.stride())
        return (*kind, tensor.item()) if tensor.dim() == 0 else (*kind, tensor.data_ptr())

    def call(self, node: Node) -> None:
        """Read an operation, by the rule for its target where there is one that applies."""
        args, kwargs = self.arguments(node.args), self.arguments(node.kwargs)
        rule = _RULES.get(node.target)
        found = None if rule is None else rule(self, node, *args, **kwargs)
        self._values[node] = self._outputs(node, args, kwargs) if found is None else found

    def arguments(self, tree: Any) -> Any:
        return map_leaves(lambda leaf: self._values[leaf] if isinstance(leaf, Node) else leaf, tree)

    def op(self, node: Node, val: Any, target: Any, *args: Any, **kwargs: Any) -> Op:
        op = Op(target, self.materialized(args), self.materialized(kwargs), node, val)
        self.ops.append(op)
        return op

    def _outputs(self, node: Node, args: Any, kwargs: Any) -> Any:
        """An operation, or all outputs of one that has several, of which the last step may use fewer."""
        val = node.meta.get("val")
        op = self.op(node, val, node.target, *args, **kwargs)
        if not isinstance(val, (tuple, list)):
            return op
        return tuple(self.op(node, part, operator.getitem, op, i) for i, part in enumerate(val))

    def materialized(self, tree: Any) -> Any:
        """The tree in which what was written or joined part by part is one operation."""
        return map_leaves(self._materialize, tree)

    def _materialize(self, leaf: Any) -> Any:
        if not isinstance(leaf, (_Written, _Joined)):
            return leaf
        if leaf not in self._materialized:
            if isinstance(leaf, _Joined):
                target, parts = _aten.cat.default, list(leaf.parts)
            else:
                target = _aten.stack.default
                parts = [leaf.parts.get(i, Pick(leaf.base, leaf.dim, i)) for i in range(leaf.size)]
            self._materialized[leaf] = self.op(leaf.node, leaf.node.meta.get("val"), target, parts, leaf.dim)
        return self._materialized[leaf]


def _shape(node: Any) -> tuple[Any, ...]:
    return tuple(node.meta["val"].shape)


def _dim_and_size(node: Any, dim: int) -> tuple[int, Any]:
    """A dimension of a node's value, counted from the start, and its size."""
    shape = _shape(node)
    return dim % len(shape), shape[dim]


def _select(reader: _Reader, node: Node, base: Any, dim: int, index: Any) -> Any:
    dim, size = _dim_and_size(node.args[0], dim)
    if not isinstance(index, int):
        return None
    return _pick(reader, base, dim, index % size if isinstance(size, int) else index)


def _pick(reader: _Reader, base: Any, dim: int, index: int) -> Any:
    if isinstance(base, _Written) and base.dim == dim:
        return base.parts.get(index, Pick(base.base, dim, index))
    return Pick(reader.materialized(base), dim, index)


def _unbind(reader: _Reader, node: Node, base: Any, dim: int = 0) -> Any:
    dim, size = _dim_and_size(node.args[0], dim)
    return tuple(_pick(reader, base, dim, i) for i in range(size)) if isinstance(size, int) else None


def _split(reader: _Reader, node: Node, base: Any, size: Any, dim: int = 0) -> Any:
    dim, total = _dim_and_size(node.args[0], dim)
    if size != 1 or not isinstance(total, int):
        return None
    return tuple(_keepdim(reader, node, _pick(reader, base, dim, i), dim) for i in range(total))


def _chunk(reader: _Reader, node: Node, base: Any, chunks: int, dim: int = 0) -> Any:
    return _split(reader, node, base, 1, dim) if _shape(node.args[0])[dim] == chunks else None


def _keepdim(reader: _Reader, node: Node, picked: Any, dim: int) -> Op:
    """An element with the dimension that it was picked along, of size 1."""
    return reader.op(node, None, _aten.unsqueeze.default, picked, dim)


def _indices(size: Any, start: Any, end: Any, step: int) -> range | None:
    """The indices that a slice takes: `_ALL` for the whole dimension, None where that depends on a dynamic size."""
    start, end = 0 if start is None else start, _END if end is None else end
    if not (isinstance(start, int) and isinstance(end, int)) or step != 1:
        return None
    if start == 0 and end in (_END, size):
        return _ALL
    return range(size)[start:end] if isinstance(size, int) else None


def _slice(
    reader: _Reader, node: Node, base: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    dim, size = _dim_and_size(node.args[0], dim)
    taken = _indices(size, start, end, step)
    if taken is _ALL:
        return base
    if taken is None or len(taken) != 1 or size == 1:
        return None
    return _keepdim(reader, node, _pick(reader, base, dim, taken[0]), dim)


def _narrow(reader: _Reader, node: Node, base: Any, dim: int, start: Any, length: Any) -> Any:
    is_known = isinstance(start, int) and isinstance(length, int) and start >= 0
    return _slice(reader, node, base, dim, start, start + length) if is_known else None


def _squeeze(reader: _Reader, node: Node, base: Any, dim: int) -> Any:
    dim, _ = _dim_and_size(node.args[0], dim)
    is_unsqueezed = isinstance(base, Op) and base.target is _aten.unsqueeze.default
    return base.args[0] if is_unsqueezed and base.args[1] == dim else None


def _copy(reader: _Reader, node: Node, into: Any, source: Any, non_blocking: bool = False) -> Any:
    """A copy into a tensor is its source, where that has the shape and dtype already."""
    target, given = node.meta["val"], node.args[1]
    val = given.meta.get("val") if isinstance(given, Node) else None
    if not isinstance(val, torch.Tensor):
        return None
    return source if (val.shape, val.dtype) == (target.shape, target.dtype) else None


def _select_scatter(reader: _Reader, node: Node, base: Any, source: Any, dim: int, index: Any) -> Any:
    dim, size = _dim_and_size(node, dim)
    if not isinstance(index, int) or not isinstance(size, int):
        return None
    return _write(reader, node, base, dim, index % size, source)


def _write(reader: _Reader, node: Node, base: Any, dim: int, index: int, source: Any) -> _Written:
    if isinstance(base, _Written) and base.dim == dim:
        return _Written(base.base, dim, base.size, {**base.parts, index: source}, node)
    return _Written(reader.materialized(base), dim, _shape(node)[dim], {index: source}, node)


def _slice_scatter(
    reader: _Reader,
    node: Node,
    base: Any,
    source: Any,
    dim: int = 0,
    start: Any = None,
    end: Any = None,
    step: int = 1,
) -> Any:
    dim, size = _dim_and_size(node, dim)
    taken = _indices(size, start, end, step)
    if taken is _ALL:
        return source
    if taken is None or len(taken) != 1:
        return None
    return _write(reader, node, base, dim, taken[0], _pick(reader, source, dim, 0))


def _cat(reader: _Reader, node: Node, parts: Any, dim: int = 0) -> Any:
    dim %= len(_shape(node))
    flat: list[Any] = []
    for part in parts:
        flat += part.parts if isinstance(part, _Joined) and part.dim == dim else [reader.materialized(part)]
    return _Joined(dim, tuple(flat), node)


def _hstack(reader: _Reader, node: Node, parts: Any) -> Any:
    return _cat(reader, node, parts, 0 if len(_shape(node)) == 1 else 1)


def _vstack(reader: _Reader, node: Node, parts: Any) -> Any:
    return _cat(reader, node, parts, 0) if all(len(_shape(part)) > 1 for part in node.all_input_nodes) else None


def _getitem(reader: _Reader, node: Node, base: Any, index: Any) -> Any:
    return base[index] if isinstance(base, tuple) else None


_RULES: Mapping[Any, Callable[..., Any]] = {
    _aten.select.int: _select,
    _aten.unbind.int: _unbind,
    _aten.split.Tensor: _split,
    _aten.chunk.default: _chunk,
    _aten.slice.Tensor: _slice,
    _aten.narrow.default: _narrow,
    _aten.squeeze.dim: _squeeze,
    _aten.copy.default: _copy,
    _aten.select_scatter.default: _select_scatter,
    _aten.slice_scatter.default: _slice_scatter,
    _aten.cat.default: _cat,
    _aten.concat.default: _cat,
    _aten.concatenate.default: _cat,
    _aten.hstack.default: _hstack,
    _aten.vstack.default: _vstack,
    operator.getitem: _getitem,
}
