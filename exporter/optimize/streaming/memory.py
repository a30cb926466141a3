"""Write into a graph what it remembers from chunk to chunk: the last elements of a sequence, a sum, a position."""

from __future__ import annotations

from collections.abc import Sequence as Many
from dataclasses import dataclass, field
from itertools import chain, count

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.streams import State, cannot_stream, reset_of
from ..graph import Array, add_constant, captured, constant_like
from ..user_places import module_of
from .measure import Measured

END = np.iinfo(np.int64).max


@dataclass
class Memory:
    """The states that were added to a graph, each an input and an output of it."""

    model: ir.Model
    measured: Measured
    taken: set[str]
    past: str
    states: list[State] = field(default_factory=list)

    def state(self, node: ir.Node, resets: Many[Array], letter: str = "x", grows: int | None = None) -> ir.Value:
        """An input for a state that begins as in each run, and is named after the node's module.

        Args:
            grows: the axis along which it begins with nothing and is longer after every chunk.
        """
        shape, reset = self.begin(node, resets)
        if grows is not None:
            shape = (*shape[:grows], self.past, *shape[grows + 1 :])
        name = self._name(module_of(node) or _module_read(node) or "stream", letter)
        dtype = ir.DataType.from_numpy(resets[0].dtype)
        before = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
        self.model.graph.inputs.append(before)
        output = f"{name.removesuffix('0')}_n"
        begins = 0.0 if grows is not None else reset_of(reset)
        size = "" if grows is None else self.past
        self.states.append(State(name, output, str(resets[0].dtype), shape, begins, size))
        return before

    def carry(self, before: ir.Value, after: ir.Value) -> None:
        """Make `after` the output that continues a state."""
        output = f"{str(before.name).removesuffix('0')}_n"
        after.name, after.type, after.shape = output, before.type, self._after(before)
        self.model.graph.outputs.append(after)

    def _after(self, before: ir.Value) -> ir.Shape:
        """A state's shape after a chunk, of which it is not known how long it has become."""
        assert before.shape is not None
        return ir.Shape([ir.SymbolicDim(None) if dim == self.past else dim for dim in before.shape])

    def forget_unused(self, many: int) -> None:
        """Take back the states that no output follows from but their own, where the first `many` are the model's."""
        graph = self.model.graph
        ours = {state.name: state.output for state in self.states}
        inputs = {str(value.name): value for value in graph.inputs if value.name in ours}
        outputs = {str(value.name): value for value in graph.outputs[many:]}
        live: set[ir.Value] = set()
        open_ends: list[ir.Value] = [*graph.outputs[:many]]
        open_ends += [value for name, value in outputs.items() if name not in ours.values()]
        while open_ends:
            value = open_ends.pop()
            if value in live:
                continue
            live.add(value)
            if value.is_graph_input() and value.name in ours:
                open_ends.append(outputs[ours[str(value.name)]])
            node = value.producer()
            if node is not None:
                open_ends += [each for each in (*node.inputs, *captured(node)) if each is not None]
        dead = [name for name, value in inputs.items() if value not in live]
        for name in dead:
            graph.outputs.remove(outputs[ours[name]])
        RemoveUnusedNodesPass()(self.model)
        for name in dead:
            graph.inputs.remove(inputs[name])
        self.states = [state for state in self.states if state.name not in dead]

    def ints(self, *numbers: int) -> ir.Value:
        """A constant of one dimension."""
        name = "ints." + "_".join(map(str, numbers)).replace("-", "m")
        return constant_like(self.model.graph, name, np.array(numbers, np.int64))

    def constant(self, name: str, array: Array) -> ir.Value:
        return add_constant(self.model.graph, name, array)

    def begin(self, node: ir.Node, resets: Many[Array]) -> tuple[tuple[str | int, ...], Array]:
        dims = [self.measured.spell(lengths) for lengths in zip(*(array.shape for array in resets), strict=True)]
        if None in dims:
            raise cannot_stream(f"what {node.op_type} remembers has a size that is no product of the inputs' sizes.")
        first = resets[0][tuple(slice(0, 1) if isinstance(dim, str) else slice(None) for dim in dims)]
        for array in resets:
            if not np.allclose(array, np.broadcast_to(first, array.shape), rtol=1e-5, atol=1e-6, equal_nan=True):
                raise cannot_stream(
                    f"what {node.op_type} remembers at the beginning depends on the inputs. "
                    "Begin with the same numbers for every sequence."
                )
        return tuple(dim for dim in dims if dim is not None), first

    def _name(self, module: str, letter: str) -> str:
        layers = chain([module], (f"{module}_{k}" for k in count(1)))
        name = next(name for name in (f"{layer}.{letter}0" for layer in layers) if name not in self.taken)
        self.taken |= {name, f"{name.removesuffix('0')}_n"}
        return name


def _module_read(node: ir.Node) -> str:
    """The module whose weights a node reads."""
    names = [str(value.name) for value in node.inputs if value is not None and value.const_value is not None]
    return next((name.rpartition(".")[0] for name in names if "." in name and not name.startswith("ints.")), "")
