"""What a step reads at its own number of a sequence, `Gather(x, i)`, becomes an input that a `Scan` runs over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ..optimize.graph import add_constant, array_of

# The outer value, the element in the body, the axis that it runs along, and whether it runs from the end.
Element = tuple[ir.Value, ir.Value, int, bool]


@dataclass
class Sequences:
    """The sequences of one loop, whose mark of a step is `step`; its number of steps has this name in shapes."""

    graph: ir.Graph
    step: ir.Node
    name: str | None = None
    _found: list[Element] = field(default_factory=list)

    @property
    def _count(self) -> ir.Value:
        count = self.step.inputs[0]
        assert count is not None
        return count

    def read(self, nodes: Sequence[ir.Node], carried: set[ir.Value]) -> None:
        """Take reads of sequences out of the nodes of a body: they read an element instead."""
        inside = {value for node in nodes for value in node.outputs} | {self.step.outputs[0]} | carried
        made: dict[tuple[ir.Value, int, int, ir.Value | None], ir.Value] = {}
        for node in nodes:
            if node.op_type != "Gather" or node.domain != "" or node.inputs[0] in inside:
                continue
            data, index = node.inputs
            assert data is not None
            assert index is not None
            place = _affine(index, self.step.outputs[0], inside)
            if place is None or index.shape is None or index.shape.rank() != 0 or data.shape is None:
                continue
            slope, first = place
            axis = node.attributes.get_int("axis", 0) % data.shape.rank()
            key = (data, axis, slope, first)
            if key not in made:
                made[key] = self._element(data, axis, slope, first, node.outputs[0])
            ir.convenience.replace_all_uses_with(node.outputs[0], made[key], replace_graph_outputs=True)

    def elements(self, nodes: Sequence[ir.Node]) -> list[Element]:
        """All sequences of the body, and the numbers of the steps where it reads them or has no sequence."""
        number = self.step.outputs[0]
        if not self._found or any(value is number for node in nodes for value in _reads(node)):
            inner = ir.Value(name=f"{number.name}.number", shape=ir.Shape([]), type=ir.TensorType(ir.DataType.INT64))
            self._found.append((self._numbers(), inner, 0, False))
            for node in nodes:
                for each in [node, *_inside(node)]:
                    for i, value in enumerate(each.inputs):
                        if value is number:
                            each.replace_input_with(i, inner)
        return self._found

    def _element(self, data: ir.Value, axis: int, slope: int, first: ir.Value | None, like: ir.Value) -> ir.Value:
        assert data.shape is not None
        element = ir.Value(name=f"{like.name}.element", shape=like.shape, type=like.type)
        whole = str(data.shape[axis]) == str(self._length()) != "None"
        if slope == 1 and first is None and whole:
            self._found.append((data, element, axis, False))
            return element
        if slope == -1 and whole and self._is_last(first):
            self._found.append((data, element, axis, True))
            return element
        numbers = self._numbers()
        if slope != 1:
            numbers = self._node("Mul", [numbers, self._constant(slope)], numbers, "scaled")
        if first is not None:
            numbers = self._node("Add", [numbers, first], numbers, "places")
        shape = [*data.shape]
        length = self._length()
        shape[axis] = ir.SymbolicDim(self.name) if length is None else length
        gathered = ir.node("Gather", [data, numbers], {"axis": axis}, name=f"{like.name}.sequence")
        value = gathered.outputs[0]
        value.name, value.type, value.shape = f"{like.name}.sequence", data.type, ir.Shape(shape)
        self.graph.append(gathered)
        self._found.append((value, element, axis, False))
        return element

    def _is_last(self, place: ir.Value | None) -> bool:
        """Whether a place is that of the last step, one less than the count."""
        producer = None if place is None else place.producer()
        if producer is None or producer.op_type != "Sub" or array_of(producer.inputs[1]) != 1:
            return False
        count = producer.inputs[0]
        named = None if count is None else _named(count)
        return count is self._count or (named is not None and str(named) == str(_named(self._count)))

    def _length(self) -> ir.SymbolicDim | int | None:
        constant = array_of(self._count)
        if constant is not None:
            return int(constant)
        return _named(self._count)

    def _numbers(self) -> ir.Value:
        """The numbers of all steps, int64[count]."""
        name = f"{self.step.name}.numbers"
        known = next((node for node in self.graph if node.name == name), None)
        if known is not None:
            return known.outputs[0]
        zero, one = self._constant(0), self._constant(1)
        node = ir.node("Range", [zero, self._count, one], name=name)
        length = self._length()
        dim = ir.SymbolicDim(self.name) if length is None else length
        node.outputs[0].name, node.outputs[0].type = name, ir.TensorType(ir.DataType.INT64)
        node.outputs[0].shape = ir.Shape([dim])
        self.graph.append(node)
        return node.outputs[0]

    def _node(self, op_type: str, inputs: Sequence[ir.Value], like: ir.Value, label: str) -> ir.Value:
        node = ir.node(op_type, inputs, name=f"{like.name}.{label}")
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = (
            f"{like.name}.{label}",
            like.type,
            like.shape,
        )
        self.graph.append(node)
        return node.outputs[0]

    def _constant(self, number: int) -> ir.Value:
        return add_constant(self.graph, f"{self.step.name}.constant", np.array(number, np.int64))


def _named(count: ir.Value) -> ir.SymbolicDim | None:
    """The name of the size that a count is, as where it is read from the shape of an input."""
    producer = count.producer()
    while producer is not None and producer.op_type in ("Squeeze", "Identity", "Cast", "Reshape", "Gather"):
        if producer.op_type == "Gather" and (producer.inputs[0] is None or producer.inputs[0].producer() is None):
            return None
        count = producer.inputs[0]  # type: ignore[assignment]
        producer = None if count is None else count.producer()
    if producer is None or producer.op_type != "Shape":
        return None
    shaped = producer.inputs[0]
    start, end = producer.attributes.get_int("start", 0), producer.attributes.get_int("end", 1 << 30)
    if shaped is None or shaped.shape is None or end - start != 1:
        return None
    dim = shaped.shape[start]
    return dim if isinstance(dim, ir.SymbolicDim) else None


_SAME = ("Identity", "Squeeze", "Cast", "Reshape")


def _affine(value: ir.Value, step: ir.Value, inside: set[ir.Value]) -> tuple[int, ir.Value | None] | None:
    """`slope * step + first` of an index, where `first` is computed outside of the loop; None for any other."""
    if value is step:
        return 1, None
    node = value.producer()
    if node is None or value not in inside:
        return None
    if (node.op_type in _SAME or _takes_the_only(node)) and node.inputs[0] is not None:
        return _affine(node.inputs[0], step, inside)
    if node.op_type not in ("Add", "Sub", "Mul") or len(node.inputs) != 2:
        return None
    left, right = node.inputs
    assert left is not None
    assert right is not None
    return _combined(node, left, right, step, inside)


def _takes_the_only(node: ir.Node) -> bool:
    """Whether a node takes a number out of its list of one, which is how PyTorch writes `item`."""
    listed = node.inputs[0].producer() if node.op_type == "Gather" and node.inputs[0] is not None else None
    number = listed.inputs[0] if listed is not None and listed.op_type == "Reshape" else None
    return number is not None and number.shape is not None and number.shape.rank() == 0


def _combined(
    node: ir.Node, left: ir.Value, right: ir.Value, step: ir.Value, inside: set[ir.Value]
) -> tuple[int, ir.Value | None] | None:
    outer = [value for value in (left, right) if value not in inside]
    if len(outer) != 1:
        return None
    place = _affine(right if outer[0] is left else left, step, inside)
    if place is None or place[1] is not None:
        return None
    if node.op_type == "Mul":
        factor = array_of(outer[0])
        return None if factor is None or factor.size != 1 else (place[0] * int(factor.item()), None)
    if node.op_type == "Add":
        return place[0], outer[0]
    if outer[0] is left:
        return -place[0], left
    negative = ir.node("Neg", [right], name=f"{node.name}.first")
    negative.outputs[0].name, negative.outputs[0].type, negative.outputs[0].shape = (
        f"{node.name}.first",
        right.type,
        right.shape,
    )
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    graph.append(negative)
    return place[0], negative.outputs[0]


def _inside(node: ir.Node) -> list[ir.Node]:
    graphs = [
        attribute.as_graph() for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH
    ]
    return [inner for graph in graphs for inner in ir.traversal.RecursiveGraphIterator(graph)]


def _reads(node: ir.Node) -> list[ir.Value | None]:
    return [*node.inputs, *(value for inner in _inside(node) for value in inner.inputs)]
