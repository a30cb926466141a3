"""What a captured graph computes, as immutable values: leaves, operations, elements of tensors, and sizes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch.fx import Graph, Node

_sym_size = torch.ops.aten.sym_size.int

# The dimension and index of each pick that leads from a tensor to an element of it.
Picks = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Leaf:
    """An input, parameter, constant or submodule of the captured module; `op` and `target` are those of its node."""

    op: str
    target: str
    node: Node = field(compare=False)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation; its arguments are trees of values and constants. `val` is its fake result, as in `Node.meta`."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    node: Node
    val: Any


@dataclass(frozen=True)
class Pick:
    """Element `index` of `base` along `dim`, without that dimension: `aten.select`."""

    base: Value
    dim: int
    index: int


@dataclass(frozen=True)
class Stacked:
    """The results of operation `position` of a loop, those of all steps stacked along dimension 0."""

    loop: int
    position: int


Value = Leaf | Op | Pick | Stacked


@dataclass(frozen=True)
class Program:
    """A captured graph: its leaves, its operations in order, and what it returns, a tree of values."""

    module: torch.fx.GraphModule
    leaves: tuple[Leaf, ...]
    ops: tuple[Op, ...]
    output: Any


def is_value(argument: object) -> TypeGuard[Value]:
    return isinstance(argument, (Leaf, Op, Pick, Stacked))


def leaves(tree: Any) -> Iterator[Any]:
    """What nested tuples, lists, dictionaries and slices of arguments hold: values and constants."""
    parts: Iterable[Any]
    if isinstance(tree, (tuple, list)):
        parts = tree
    elif isinstance(tree, Mapping):
        parts = tree.values()
    elif isinstance(tree, slice):
        parts = (tree.start, tree.stop, tree.step)
    else:
        yield tree
        return
    for part in parts:
        yield from leaves(part)


def values_in(tree: Any) -> Iterator[Value]:
    """The leaves that are values."""
    return (leaf for leaf in leaves(tree) if is_value(leaf))


def map_leaves(new: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `new(leaf)` in place of each leaf."""
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_leaves(new, part) for part in tree)
    if isinstance(tree, Mapping):
        return {key: map_leaves(new, part) for key, part in tree.items()}
    if isinstance(tree, slice):
        return slice(*(map_leaves(new, part) for part in (tree.start, tree.stop, tree.step)))
    return new(tree)


def operands(op: Op) -> Iterator[Value]:
    """The values that an operation takes."""
    return values_in((op.args, op.kwargs))


def root(value: Value) -> Leaf | Op | Stacked:
    """The value that a pick, or a pick of a pick, is taken from."""
    while isinstance(value, Pick):
        value = value.base
    return value


def origin(node: Node) -> dict[str, Any]:
    """The metadata that a rewritten node keeps: the user's line."""
    return {key: node.meta[key] for key in ("stack_trace",) if key in node.meta}


def val_of(value: Leaf | Op | Stacked) -> Any:
    """The fake tensor or the number that the capture has for a value; None where it has none."""
    if isinstance(value, Stacked):
        return None
    return value.val if isinstance(value, Op) else value.node.meta.get("val")


def shape_of(value: Value) -> tuple[Any, ...] | None:
    """The captured shape, whose dynamic dimensions are symbolic; None for what is not a tensor."""
    if isinstance(value, Pick):
        base = shape_of(value.base)
        return None if base is None else base[: value.dim] + base[value.dim + 1 :]
    val = val_of(value)
    return tuple(val.shape) if isinstance(val, torch.Tensor) else None


def dtype_of(value: Value) -> torch.dtype | None:
    """The captured dtype; None for what is not a tensor."""
    val = val_of(root(value))
    return val.dtype if isinstance(val, torch.Tensor) else None


@dataclass(frozen=True)
class Series:
    """`count` elements of `base` along `dim`, `stride` (1 or -1) apart; of each, the element that `path` leads to."""

    base: Value
    dim: int
    start: int
    stride: int
    count: int
    path: Picks

    @property
    def low(self) -> int:
        """The lowest index."""
        return self.start if self.stride == 1 else self.start - self.count + 1


def picks(value: Value) -> Picks:
    """The picks that lead from a value's root to the value, in that order."""
    return (*picks(value.base), (value.dim, value.index)) if isinstance(value, Pick) else ()


def series(values: Sequence[Value]) -> Series | None:
    """The values as one series, forwards or backwards; None if they are not consecutive elements of one tensor."""
    paths = [picks(value) for value in values]
    if len(values) < 2 or len({root(value) for value in values}) != 1:
        return None
    if len({tuple(dim for dim, _ in path) for path in paths}) != 1:
        return None
    varying = [i for i, at in enumerate(zip(*paths, strict=True)) if len(set(at)) > 1]
    if len(varying) != 1:
        return None
    at = varying[0]
    indices = [path[at][1] for path in paths]
    stride = indices[1] - indices[0]
    if abs(stride) != 1 or indices != [indices[0] + k * stride for k in range(len(indices))]:
        return None
    base: Value = root(values[0])
    for dim, index in paths[0][:at]:
        base = Pick(base, dim, index)
    return Series(base, paths[0][at][0], indices[0], stride, len(values), paths[0][at + 1 :])


def grouped(values: Sequence[Value]) -> list[Series | Value]:
    """The list divided into the longest series and, between them, single values."""
    found: list[Series | Value] = []
    rest = list(values)
    while rest:
        count = 1
        while count < len(rest) and series(rest[: count + 1]) is not None:
            count += 1
        whole = series(rest[:count])
        found.append(rest[0] if whole is None else whole)
        del rest[:count]
    return found


@dataclass
class Sizes:
    """Numbers that grow with the sequence, read from a tensor's shape: 5 in one capture and 6 in the other may be T."""

    graph: Graph
    _fixed: dict[tuple[int, int], tuple[Node, int]] = field(default_factory=dict)
    _symbolic: dict[str, tuple[Node, int]] = field(default_factory=dict)
    _read: dict[tuple[Node, int], Node] = field(default_factory=dict)

    def add(self, node: Node, short: Value, long: Value) -> None:
        """Note the dimensions of a tensor that has just been written."""
        for dim, (a, b) in enumerate(zip(shape_of(short) or (), shape_of(long) or (), strict=True)):
            if isinstance(a, int) and isinstance(b, int) and a != b:
                self._fixed.setdefault((a, b), (node, dim))
            elif not isinstance(a, int):
                self._symbolic.setdefault(str(a), (node, dim))

    def number(self, short: int, long: int) -> Any:
        """The number, or a node that computes it from a dimension; None where it is a linear function of none."""
        if short == long:
            return short
        if (short, long) in self._fixed:
            return self._size(*self._fixed[short, long])
        for (a, b), place in self._fixed.items():
            slope, rest = divmod(long - short, b - a)
            if rest == 0:
                scaled = self._size(*place) if slope == 1 else self._call(operator.mul, self._size(*place), slope)
                offset = short - slope * a
                return self._call(operator.add, scaled, offset) if offset else scaled
        return None

    def dimension(self, size: Any) -> Any:
        """A dimension of a shape of the shorter capture, as a number or a node; None where no tensor has it."""
        if isinstance(size, int):
            return size
        return self._size(*self._symbolic[str(size)]) if str(size) in self._symbolic else None

    def _size(self, node: Node, dim: int) -> Node:
        if (node, dim) not in self._read:
            self._read[node, dim] = self._call(_sym_size, node, dim)
        return self._read[node, dim]

    def _call(self, target: Any, *args: Any) -> Node:
        return self.graph.call_function(target, args)


def is_size(node: Node) -> bool:
    """Whether a node computes a whole number from a tensor's shape."""
    computes = getattr(node.target, "__module__", "") == "_operator" and node.target is not operator.getitem
    return node.target is _sym_size or computes
