"""`ScanLoop`: the states, elements and step outputs of a `Scan` node, and what each value in its body depends on.

Source: ONNX operator specification, Scan-16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import onnx_ir as ir

from ..graph import captured


class Origin(Enum):
    """What a value in a body depends on: nothing in the loop, elements of sequences in one direction, or the states."""

    INVARIANT = "invariant"
    FORWARD = "forward"
    REVERSE = "reverse"
    STATE = "state"

    @property
    def is_element(self) -> bool:
        return self in (Origin.FORWARD, Origin.REVERSE)


@dataclass(frozen=True)
class ScanLoop:
    """A `Scan` node, and the main graph, which holds all constants.

    Elements are the body's inputs that change from step to step; step outputs are its outputs that are stacked.
    """

    node: ir.Node
    main: ir.Graph

    @property
    def body(self) -> ir.Graph:
        return self.node.attributes["body"].as_graph()

    @property
    def graph(self) -> ir.Graph:
        """The graph that holds the node."""
        assert isinstance(self.node.graph, ir.Graph)
        return self.node.graph

    @property
    def num_elements(self) -> int:
        return self.node.attributes["num_scan_inputs"].as_int()

    @property
    def num_states(self) -> int:
        return len(self.node.inputs) - self.num_elements

    @property
    def elements(self) -> Sequence[ir.Value]:
        """The body's inputs that are elements of sequences: [...] of [T, ...]."""
        return self.body.inputs[self.num_states :]

    @property
    def steps(self) -> Sequence[ir.Value]:
        """The body's outputs that are stacked."""
        return self.body.outputs[self.num_states :]

    def listed(self, name: str, count: int) -> list[int]:
        """An attribute with a number per sequence; zeros where the node lacks it, as the operator has it."""
        return [*(self.node.attributes.get_ints(name, None) or [0] * count)]

    @property
    def origins_of_elements(self) -> Sequence[Origin]:
        directions = self.listed("scan_input_directions", self.num_elements)
        return [Origin.REVERSE if direction else Origin.FORWARD for direction in directions]

    @property
    def origins_of_steps(self) -> Sequence[Origin]:
        directions = self.listed("scan_output_directions", len(self.steps))
        return [Origin.REVERSE if direction else Origin.FORWARD for direction in directions]

    @property
    def input_axes(self) -> list[int]:
        return self.listed("scan_input_axes", self.num_elements)

    @property
    def output_axes(self) -> list[int]:
        return self.listed("scan_output_axes", len(self.steps))

    @property
    def length(self) -> int | ir.SymbolicDim:
        """The number of steps."""
        sequences = zip(self.node.inputs[self.num_states :], self.input_axes, strict=True)
        known = [value.shape[axis] for value, axis in sequences if value is not None and value.shape is not None]
        return next(iter(known), ir.SymbolicDim(None))

    def origins(self) -> Mapping[ir.Value, Origin]:
        """The origin of every value that the body takes or computes; all others are invariant."""
        found = dict.fromkeys(self.body.inputs[: self.num_states], Origin.STATE)
        found.update(zip(self.elements, self.origins_of_elements, strict=True))
        for node in self.body:
            read = (*node.inputs, *captured(node))
            origin = _joined(found.get(value, Origin.INVARIANT) for value in read if value is not None)
            found.update(dict.fromkeys(node.outputs, origin))
        return found

    def set_inputs(self, inputs: Sequence[tuple[ir.Value | None, ir.Value, Origin, int]]) -> None:
        """Replace the sequences: for each the value outside, its element in the body, the direction and the axis."""
        states = [*self.node.inputs[: self.num_states]]
        self.body.inputs[:] = [*self.body.inputs[: len(states)], *(inner for _, inner, _, _ in inputs)]
        self.node.resize_inputs(len(states) + len(inputs))
        for i, (outer, *_) in enumerate(inputs, len(states)):
            self.node.replace_input_with(i, outer)
        directions = [int(origin is Origin.REVERSE) for _, _, origin, _ in inputs]
        self.node.attributes["num_scan_inputs"] = ir.AttrInt64("num_scan_inputs", len(inputs))
        self.node.attributes["scan_input_directions"] = ir.AttrInt64s("scan_input_directions", directions)
        self.node.attributes["scan_input_axes"] = ir.AttrInt64s("scan_input_axes", [axis for *_, axis in inputs])

    def copy(self, value: ir.Value, label: str) -> ir.Value:
        """A copy of a value of the body: a body may return only what it computes, and only once."""
        node = ir.node("Identity", [value], name=f"{value.name}.{label}")
        copy = node.outputs[0]
        copy.name, copy.type, copy.shape = f"{value.name}.{label}", value.type, value.shape
        self.body.append(node)
        return copy

    def add_step(self, value: ir.Value, origin: Origin) -> ir.Value:
        """Stack a value of the body along axis 0; returns the stack [T, ...]."""
        directions = [*self.listed("scan_output_directions", len(self.steps)), int(origin is Origin.REVERSE)]
        axes = [*self.output_axes, 0]
        self.body.outputs.append(self.copy(value, "step"))
        self.node.attributes["scan_output_directions"] = ir.AttrInt64s("scan_output_directions", directions)
        self.node.attributes["scan_output_axes"] = ir.AttrInt64s("scan_output_axes", axes)
        self.node.resize_outputs(len(self.node.outputs) + 1)
        stack = self.node.outputs[-1]
        stack.name, stack.type, stack.shape = f"{value.name}.steps", value.type, stacked_shape(value, self.length)
        return stack

    def drop_steps(self, dropped: Iterable[int]) -> None:
        """Remove step outputs, by their positions among them, that nothing outside reads."""
        out = {*dropped}
        kept = [k for k in range(len(self.steps)) if k not in out]
        directions, axes = self.listed("scan_output_directions", len(self.steps)), self.output_axes
        many = self.num_states
        outputs = [*self.node.outputs[:many], *(self.node.outputs[many + k] for k in kept)]
        self.body.outputs[:] = [*self.body.outputs[:many], *(self.body.outputs[many + k] for k in kept)]
        self.node.attributes["scan_output_directions"] = ir.AttrInt64s(
            "scan_output_directions", [directions[k] for k in kept]
        )
        self.node.attributes["scan_output_axes"] = ir.AttrInt64s("scan_output_axes", [axes[k] for k in kept])
        for old, new in zip(outputs, list(self.node.outputs), strict=False):
            if old is not new:  # the readers of `new` have moved on, or there were none
                new.name, new.type, new.shape = old.name, old.type, old.shape
                old.name = None
                ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        self.node.resize_outputs(len(outputs))


def _joined(origins: Iterable[Origin]) -> Origin:
    """The origin of what depends on all of these; elements from both ends meet only in the loop."""
    kinds = {*origins} - {Origin.INVARIANT}
    return Origin.INVARIANT if not kinds else kinds.pop() if len(kinds) == 1 else Origin.STATE


def is_made_in(body: ir.Graph, value: ir.Value | None) -> bool:
    """Whether a body takes or computes a value, so that it may differ from step to step."""
    producer = None if value is None else value.producer()
    return value in body.inputs or (producer is not None and producer.graph is body)


def stacked_shape(value: ir.Value, length: int | ir.SymbolicDim) -> ir.Shape | None:
    """The shape of a value of the body with time in front."""
    return None if value.shape is None else ir.Shape([length, *value.shape])
