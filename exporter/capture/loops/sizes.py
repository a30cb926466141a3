"""Numbers that grow with the sequence, as sizes read from a tensor: 5 in one capture and 6 in the other may be T."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, Node

from .values import Value, shape_of

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
