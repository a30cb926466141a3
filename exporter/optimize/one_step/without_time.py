"""The values of a graph for one time step, each without its time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ..graph import Array, constant_like


class WithoutTime:
    """Which values have the time as one axis, and what each is without it; new nodes wait until they are taken."""

    def __init__(self, main: ir.Graph, time: str, prefix: str) -> None:
        self._nodes: list[ir.Node] = []
        self._main = main
        self._time = time
        self._prefix = prefix
        self._made: dict[ir.Value, ir.Value] = {}

    def axis(self, value: ir.Value | None) -> int | None:
        """The axis that is as long as the chunk; None where there is none, where there are several, or not known."""
        if value is None or value.shape is None:
            return None
        sizes = [dim if isinstance(dim, int) else dim.value for dim in value.shape]
        return sizes.index(self._time) if None not in sizes and sizes.count(self._time) == 1 else None

    def of(self, value: ir.Value | None, axis: int) -> ir.Value | None:
        """A value without the axis that is as long as the chunk, or of size 1; None for any other."""
        if value is None or value.shape is None:
            return None
        if self.axis(value) != axis:
            return self.squeeze(value, axis) if value.shape[axis] == 1 else None
        if value not in self._made:
            self._made[value] = self.squeeze(value, axis)
        return self._made[value]

    def squeeze(self, value: ir.Value, axis: int) -> ir.Value:
        """A value without an axis of size 1."""
        node = value.producer()
        if node is not None and node.op_type == "Unsqueeze" and node.inputs[1] is self.ints([axis]):
            return node.inputs[0] or value
        return self.op("Squeeze", [value, self.ints([axis])], value)

    def with_time(self, value: ir.Value, like: ir.Value, axis: int) -> ir.Value:
        """The value in place of `like`: with its time axis, and known without it."""
        whole = self.op("Unsqueeze", [value, self.ints([axis])], like)
        whole.shape = like.shape
        self._made[whole] = value
        if value.shape is None and like.shape is not None:
            value.shape = ir.Shape([dim for place, dim in enumerate(like.shape) if place != axis])
        return whole

    def op(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        like: ir.Value,
        attributes: Mapping[str, ir.Attr] | None = None,
    ) -> ir.Value:
        """The output of a new node, whose elements are of the type that those of `like` are."""
        return self.ops(op_type, inputs, [like], attributes)[0]

    def ops(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        like: Sequence[ir.Value],
        attributes: Mapping[str, ir.Attr] | None = None,
    ) -> Sequence[ir.Value]:
        """The outputs of a new node, as many as there are in `like` and of their types."""
        node = ir.Node("", op_type, inputs, (attributes or {}).values(), num_outputs=len(like))
        self._nodes.append(node)
        for output, old in zip(node.outputs, like, strict=True):
            output.type = old.type
        return node.outputs

    def take(self) -> list[ir.Node]:
        """The nodes made since the last time, in order."""
        nodes, self._nodes = self._nodes, []
        return nodes

    def ints(self, numbers: Sequence[int]) -> ir.Value:
        name = ".".join(["ints", *(str(number).replace("-", "m") for number in numbers)])
        return self.constant(name, np.array(numbers, np.int64))

    def constant(self, name: str, array: Array) -> ir.Value:
        return constant_like(self._main, f"{self._prefix}.{name}", array)
