"""Add real-valued nodes to a captured graph, each with the shape and dtype that PyTorch gives its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node
from torch.fx.node import map_arg

_aten = torch.ops.aten

Real = Node | float
REAL_DTYPES = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}


@dataclass(frozen=True)
class Pair:
    """The real and the imaginary part of a complex tensor: real tensors of its shape, or numbers."""

    real: Any
    imag: Any


class Writer:
    """Writes nodes before one node of a graph after the other; two numbers are computed at once.

    Args:
        fake_mode: the one of the program's values.
        constant: adds a constant, by the key it is known by, and returns the node that holds it.
    """

    def __init__(self, graph: Graph, fake_mode: Any, constant: Callable[[str, Tensor], Node]) -> None:
        self._graph, self._fake_mode = graph, fake_mode
        self.constant = constant
        self._meta: dict[str, Any] = {}

    @contextmanager
    def before(self, node: Node) -> Iterator[None]:
        """Within the block nodes are written before this one, and come from the same line."""
        self._meta = {key: value for key, value in node.meta.items() if key in ("stack_trace", "nn_module_stack")}
        with self._graph.inserting_before(node):
            yield

    def call(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        node = self._graph.call_function(target, args, kwargs)
        node.meta.update(self._meta)
        values, named = map_arg((args, kwargs), lambda used: used.meta["val"])
        with self._fake_mode:
            node.meta["val"] = target(*values, **named)
        return node

    def node(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Node:
        """A node whose value is known, as that of a loop is."""
        node = self._graph.call_function(target, args, kwargs)
        node.meta.update(self._meta, val=value)
        return node

    def real_like(self, value: Any) -> Any:
        """The value that a part of a complex tensor has, or those of the parts of several."""
        if isinstance(value, (list, tuple)):
            return type(value)(map(self.real_like, value))
        with self._fake_mode:
            return torch.empty(value.shape, dtype=REAL_DTYPES[value.dtype], device=value.device)

    def cast(self, value: Real, dtype: torch.dtype) -> Real:
        if not isinstance(value, Node) or value.meta["val"].dtype == dtype:
            return value
        return self.call(_aten._to_copy.default, value, dtype=dtype)

    def add(self, a: Real, b: Real) -> Real:
        return self._binary(_aten.add.Tensor, a, b, lambda: a + b)  # type: ignore[operator]

    def sub(self, a: Real, b: Real) -> Real:
        return self._binary(_aten.sub.Tensor, a, b, lambda: a - b)  # type: ignore[operator]

    def mul(self, a: Real, b: Real) -> Real:
        return self._binary(_aten.mul.Tensor, a, b, lambda: a * b)  # type: ignore[operator]

    def div(self, a: Real, b: Real) -> Real:
        return self._binary(_aten.div.Tensor, a, b, lambda: a / b)  # type: ignore[operator]

    def neg(self, a: Real) -> Real:
        return self.call(_aten.neg.default, a) if isinstance(a, Node) else -a

    def _binary(self, target: Any, a: Real, b: Real, compute: Callable[[], float]) -> Real:
        if isinstance(a, Node):
            return self.call(target, a, b)
        if isinstance(b, Node):
            return self.call(target, self.call(_aten.scalar_tensor.default, a, dtype=b.meta["val"].dtype), b)
        return compute()
