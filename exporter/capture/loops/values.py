"""What an unrolled graph computes, as immutable values: leaves, operations, and elements picked from a tensor."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch.fx import Graph, Node


@dataclass(frozen=True)
class Leaf:
    """An input, a parameter, a constant or a submodule of the captured module: `op` and `target` as in its graph."""

    op: str
    target: str
    node: Node = field(compare=False)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation; among its arguments are values, also in lists. `content` is what it gave when captured."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    node: Node
    content: Any


@dataclass(frozen=True)
class Pick:
    """Element `index` of `base` along `dim`, which is then gone: `aten.select`."""

    base: Value
    dim: int
    index: int


@dataclass(frozen=True)
class Steps:
    """What operation `position` of a rolled loop computes in every step, stacked along dimension 0."""

    loop: int
    position: int


Value = Leaf | Op | Pick | Steps


@dataclass(frozen=True)
class Program:
    """An unrolled graph: its leaves, its operations in order, and what it returns (a tree of values)."""

    module: torch.fx.GraphModule
    leaves: tuple[Leaf, ...]
    ops: tuple[Op, ...]
    output: Any


def is_value(argument: object) -> TypeGuard[Value]:
    return isinstance(argument, (Leaf, Op, Pick, Steps))


def values_in(argument: Any) -> Iterator[Value]:
    """The values in an argument or a tree of them."""
    if is_value(argument):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for part in argument:
            yield from values_in(part)
    elif isinstance(argument, Mapping):
        for part in argument.values():
            yield from values_in(part)
    elif isinstance(argument, slice):
        yield from values_in((argument.start, argument.stop, argument.step))


def replaced(argument: Any, new: Callable[[Any], Any]) -> Any:
    """The tree with every leaf, value or constant, replaced by `new` of it."""
    if isinstance(argument, (tuple, list)):
        return type(argument)(replaced(part, new) for part in argument)
    if isinstance(argument, Mapping):
        return {key: replaced(part, new) for key, part in argument.items()}
    if isinstance(argument, slice):
        return slice(*(replaced(part, new) for part in (argument.start, argument.stop, argument.step)))
    return new(argument)


def operands(op: Op) -> Iterator[Value]:
    """The values an operation takes."""
    yield from values_in(op.args)
    yield from values_in(op.kwargs)


def root(value: Value) -> Leaf | Op | Steps:
    """What a pick, or a pick of a pick, is taken from."""
    while isinstance(value, Pick):
        value = value.base
    return value


def origin(node: Node) -> dict[str, Any]:
    """What a node that is written anew keeps of the one it stands for: the user's line."""
    return {key: node.meta[key] for key in ("stack_trace",) if key in node.meta}


def content_of(value: Leaf | Op) -> Any:
    """The tensor or number that a value was when it was captured, without its content; None where that is not known."""
    return value.content if isinstance(value, Op) else value.node.meta.get("val")


def shape_of(value: Value) -> tuple[Any, ...] | None:
    """The shape when it was captured: numbers, and for dynamic dimensions symbolic ones; None if not a tensor."""
    if isinstance(value, Pick):
        base = shape_of(value.base)
        return None if base is None else base[: value.dim] + base[value.dim + 1 :]
    content = None if isinstance(value, Steps) else content_of(value)
    return tuple(content.shape) if isinstance(content, torch.Tensor) else None


def dtype_of(value: Value) -> torch.dtype | None:
    """The dtype of a tensor."""
    base = root(value)
    content = None if isinstance(base, Steps) else content_of(base)
    return content.dtype if isinstance(content, torch.Tensor) else None


def takes_tensor(op: Op, position: int) -> bool:
    """Whether a tensor may stand where the operation has this positional argument, if in another overload."""
    schema = getattr(for_tensors(op.target), "_schema", None)
    return schema is not None and str(schema.arguments[position].type) == "Tensor"


def for_tensors(target: Any) -> Any:
    """The overload for tensors of an operation with a number, such as `lengths > t`; any other as it is."""
    if not isinstance(target, torch._ops.OpOverload) or target._overloadname != "Scalar":
        return target
    twin = getattr(target.overloadpacket, "Tensor", None)
    fits = twin is not None and len(twin._schema.arguments) == len(target._schema.arguments)
    return twin if fits else target


Picks = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Series:
    """Elements `start`, `start + stride` ... of `base` along `dim`, `count` of them, and of `path` within each."""

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
    """The picks that lead from a value's root to it, innermost first."""
    return (*picks(value.base), (value.dim, value.index)) if isinstance(value, Pick) else ()


def picked(value: Value, path: Picks) -> Value:
    """The element that these picks lead to."""
    for dim, index in path:
        value = Pick(value, dim, index)
    return value


def series(values: Sequence[Value]) -> Series | None:
    """All the values as one series, forwards or backwards; None if they are not."""
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
    base = picked(root(values[0]), paths[0][:at])
    return Series(base, paths[0][at][0], indices[0], stride, len(values), paths[0][at + 1 :])


def grouped(values: Sequence[Value]) -> list[Series | Value]:
    """The list cut into the longest series and single values."""
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


_sym_size = torch.ops.aten.sym_size.int


@dataclass
class Sizes:
    """The dimensions of the tensors written so far, by what they were in the shorter and in the longer capture."""

    graph: Graph
    _fixed: dict[tuple[int, int], tuple[Node, int]] = field(default_factory=dict)
    _symbolic: dict[str, tuple[Node, int]] = field(default_factory=dict)
    _read: dict[tuple[Node, int], Node] = field(default_factory=dict)

    def add(self, node: Node, short: Value, long: Value) -> None:
        """Learn the sizes of a tensor that has just been written."""
        for dim, (a, b) in enumerate(zip(shape_of(short) or (), shape_of(long) or (), strict=True)):
            if isinstance(a, int) and isinstance(b, int) and a != b:
                self._fixed.setdefault((a, b), (node, dim))
            elif not isinstance(a, int):
                self._symbolic.setdefault(str(a), (node, dim))

    def number(self, short: int, long: int) -> Any:
        """A number, or a node that computes it from the size of a tensor; None where no size explains it."""
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
        """One dimension of a shape of the shorter capture, symbolic or not; None where no tensor has it."""
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
    """Whether a node computes a whole number from the shape of a tensor."""
    computes = getattr(node.target, "__module__", "") == "_operator" and node.target is not operator.getitem
    return node.target is _sym_size or computes
