"""From a captured graph to values in a plain form, in which equal steps of a loop look equal.

Elements of a sequence (`x[t]`, `x.unbind()`, `x.split(1)`, `x[:, t:t+1]`) are picks; a tensor that is written element
by element is a stack; nested concatenations are one; what every step does with parameters alone comes first, and once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import GraphModule, Node

from .repeats import in_order
from .values import Leaf, Op, Pick, Program, Value, replaced

_aten = torch.ops.aten

# Checks that PyTorch records for itself; they compute nothing.
_CHECKS = {_aten._assert_tensor_metadata.default}

_END = 2**63 - 1
_ALL = range(_END)


@dataclass(frozen=True, eq=False)
class _Written:
    """A tensor whose elements along `dim` have been overwritten: `parts` by index."""

    base: Value
    dim: int
    size: int
    parts: Mapping[int, Any]
    node: Node


@dataclass(frozen=True, eq=False)
class _Joined:
    """A concatenation whose parts are not concatenations along the same dimension themselves."""

    dim: int
    parts: tuple[Any, ...]
    node: Node


def read(module: GraphModule) -> Program:
    """The values that a captured module computes."""
    reader = _Reader(module)
    output: Any = None
    for node in module.graph.nodes:
        if node.op == "output":
            output = reader.whole(reader.arguments(node.args[0]))
        elif node.op == "call_function" and node.target not in _CHECKS:
            reader.call(node)
        elif node.op in ("placeholder", "get_attr"):
            reader.leaf(node)
    ops, output = in_order(reader.ops, output)
    return Program(module, tuple(reader.leaves), ops, output)


class _Reader:
    """Reads node by node; `ops` are in the order of the graph."""

    def __init__(self, module: GraphModule) -> None:
        self._module = module
        self._known: dict[Any, Leaf] = {}
        self.leaves: list[Leaf] = []
        self.ops: list[Op] = []
        self._of: dict[Node, Any] = {}
        self._made: dict[_Written | _Joined, Op] = {}

    def leaf(self, node: Node) -> None:
        """An input, or a parameter or constant, which may have a name for every step that uses it."""
        leaf = Leaf(node.op, str(node.target), node)
        self._of[node] = self._known.setdefault(self._identity(leaf), leaf)
        if self._of[node] is leaf:
            self.leaves.append(leaf)

    def _identity(self, leaf: Leaf) -> Any:
        owner = self._module if leaf.op == "get_attr" else None
        content = None if owner is None else operator.attrgetter(leaf.target)(owner)
        if not isinstance(content, torch.Tensor):
            return leaf
        kind = (content.dtype, content.shape, content.stride())
        return (*kind, content.item()) if content.dim() == 0 else (*kind, content.data_ptr())

    def call(self, node: Node) -> None:
        args, kwargs = self.arguments(node.args), self.arguments(node.kwargs)
        rule = _RULES.get(node.target)
        found = None if rule is None else rule(self, node, *args, **kwargs)
        self._of[node] = self._outputs(node, args, kwargs) if found is None else found

    def arguments(self, argument: Any) -> Any:
        return replaced(argument, lambda part: self._of[part] if isinstance(part, Node) else part)

    def op(self, node: Node, content: Any, target: Any, *args: Any, **kwargs: Any) -> Op:
        op = Op(target, self.whole(args), self.whole(kwargs), node, content)
        self.ops.append(op)
        return op

    def _outputs(self, node: Node, args: Any, kwargs: Any) -> Any:
        """An operation, or each output of one that has several: the last step of a loop may not use all of them."""
        content = node.meta.get("val")
        op = self.op(node, content, node.target, *args, **kwargs)
        if not isinstance(content, (tuple, list)):
            return op
        return tuple(self.op(node, part, operator.getitem, op, i) for i, part in enumerate(content))

    def whole(self, argument: Any) -> Any:
        """What was written or joined bit by bit, as one operation."""
        return replaced(argument, self._whole)

    def _whole(self, part: Any) -> Any:
        if isinstance(part, (_Written, _Joined)) and part not in self._made:
            if isinstance(part, _Joined):
                self._made[part] = self.op(
                    part.node, part.node.meta.get("val"), _aten.cat.default, list(part.parts), part.dim
                )
            else:
                slots = [part.parts.get(i, Pick(part.base, part.dim, i)) for i in range(part.size)]
                self._made[part] = self.op(part.node, part.node.meta.get("val"), _aten.stack.default, slots, part.dim)
        return self._made.get(part, part) if isinstance(part, (_Written, _Joined)) else part


def _shape(node: Any) -> tuple[Any, ...]:
    return tuple(node.meta["val"].shape)


def _select(reader: _Reader, node: Node, base: Any, dim: int, index: Any) -> Any:
    shape = _shape(node.args[0])
    dim %= len(shape)
    if isinstance(index, int) and isinstance(shape[dim], int):
        index %= shape[dim]
    if not isinstance(index, int):
        return None
    return _pick(reader, base, dim, index)


def _pick(reader: _Reader, base: Any, dim: int, index: int) -> Any:
    if isinstance(base, _Written) and base.dim == dim:
        return base.parts.get(index, Pick(base.base, dim, index))
    return Pick(reader.whole(base), dim, index)


def _unbind(reader: _Reader, node: Node, base: Any, dim: int = 0) -> Any:
    shape = _shape(node.args[0])
    dim %= len(shape)
    size = shape[dim]
    return tuple(_pick(reader, base, dim, i) for i in range(size)) if isinstance(size, int) else None


def _split(reader: _Reader, node: Node, base: Any, size: Any, dim: int = 0) -> Any:
    shape = _shape(node.args[0])
    dim %= len(shape)
    total = shape[dim]
    if size != 1 or not isinstance(total, int):
        return None
    return tuple(_kept(reader, node, _pick(reader, base, dim, i), dim) for i in range(total))


def _chunk(reader: _Reader, node: Node, base: Any, chunks: int, dim: int = 0) -> Any:
    shape = _shape(node.args[0])
    return _split(reader, node, base, 1, dim) if shape[dim] == chunks else None


def _kept(reader: _Reader, node: Node, picked: Any, dim: int) -> Op:
    """An element that keeps the dimension it is picked along, with length 1."""
    return reader.op(node, None, _aten.unsqueeze.default, picked, dim)


def _sliced(size: Any, start: Any, end: Any, step: int) -> range | None:
    """The indices that a slice of a dimension takes: _ALL where it is all of them, None where that is not known."""
    start, end = 0 if start is None else start, _END if end is None else end
    if not (isinstance(start, int) and isinstance(end, int)) or step != 1:
        return None
    if start == 0 and end in (_END, size):
        return _ALL
    return range(size)[start:end] if isinstance(size, int) else None


def _slice(
    reader: _Reader, node: Node, base: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Any:
    shape = _shape(node.args[0])
    dim %= len(shape)
    taken = _sliced(shape[dim], start, end, step)
    if taken is _ALL:
        return base
    if taken is None or len(taken) != 1 or shape[dim] == 1:
        return None
    return _kept(reader, node, _pick(reader, base, dim, taken[0]), dim)


def _narrow(reader: _Reader, node: Node, base: Any, dim: int, start: Any, length: Any) -> Any:
    ints = isinstance(start, int) and isinstance(length, int) and start >= 0
    return _slice(reader, node, base, dim, start, start + length) if ints else None


def _squeeze(reader: _Reader, node: Node, base: Any, dim: int) -> Any:
    dim %= len(_shape(node.args[0]))
    is_kept = isinstance(base, Op) and base.target is _aten.unsqueeze.default
    return base.args[0] if is_kept and base.args[1] == dim else None


def _copy(reader: _Reader, node: Node, into: Any, source: Any, non_blocking: bool = False) -> Any:
    """Only the value of what is copied counts, where shape and dtype are those of the target."""
    target, given = node.meta["val"], node.args[1]
    content = given.meta.get("val") if isinstance(given, Node) else None
    if not isinstance(content, torch.Tensor):
        return None
    return source if (content.shape, content.dtype) == (target.shape, target.dtype) else None


def _select_scatter(reader: _Reader, node: Node, base: Any, source: Any, dim: int, index: Any) -> Any:
    shape = _shape(node)
    dim %= len(shape)
    if not isinstance(index, int) or not isinstance(shape[dim], int):
        return None
    return _write(reader, node, base, dim, index % shape[dim], source)


def _write(reader: _Reader, node: Node, base: Any, dim: int, index: int, source: Any) -> _Written:
    if isinstance(base, _Written) and base.dim == dim:
        return _Written(base.base, dim, base.size, {**base.parts, index: source}, node)
    return _Written(reader.whole(base), dim, _shape(node)[dim], {index: source}, node)


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
    shape = _shape(node)
    dim %= len(shape)
    taken = _sliced(shape[dim], start, end, step)
    if taken is _ALL:
        return source
    if taken is None or len(taken) != 1:
        return None
    return _write(reader, node, base, dim, taken[0], _pick(reader, source, dim, 0))


def _cat(reader: _Reader, node: Node, parts: Any, dim: int = 0) -> Any:
    dim %= len(_shape(node))
    flat: list[Any] = []
    for part in parts:
        flat += part.parts if isinstance(part, _Joined) and part.dim == dim else [reader.whole(part)]
    return _Joined(dim, tuple(flat), node)


def _hstack(reader: _Reader, node: Node, parts: Any) -> Any:
    return _cat(reader, node, parts, 0 if len(_shape(node)) == 1 else 1)


def _vstack(reader: _Reader, node: Node, parts: Any) -> Any:
    joined = node.all_input_nodes
    return _cat(reader, node, parts, 0) if all(len(_shape(part)) > 1 for part in joined) else None


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
