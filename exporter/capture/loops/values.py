"""What an unrolled graph computes, as immutable values: leaves, operations, and elements picked from a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch.fx import Node


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
