"""What is the same in every step is computed once, in front of the loop.

Sizes of states and of elements belong here: a step cannot change them.
"""

from __future__ import annotations

import onnx_ir as ir

from ..places import is_graph
from .loop import Origin, ScanLoop

# Operators that give something else each time they run (ONNX operator specification).
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}


def move_invariants(loop: ScanLoop) -> None:
    """Move nodes that depend neither on states nor on elements in front of the loop."""
    for node in list(loop.body):
        _read_size_outside(loop, node)
    origins = loop.origins()
    for node in list(loop.body):
        if all(origins[value] is Origin.FIXED for value in node.outputs) and _is_movable(loop, node):
            for i, value in enumerate(loop.body.outputs):
                if value in node.outputs:
                    loop.body.outputs[i] = loop.copy(value, "copy")
            loop.body.remove(node)
            loop.graph.insert_before(loop.node, node)


def _is_movable(loop: ScanLoop, node: ir.Node) -> bool:
    """Whether it gives the same each time, and everything that it reads has moved already."""
    nodes = [node, *_inside(node)]
    if any(each.op_type in _RANDOM for each in nodes):
        return False
    read = (value.producer() for each in nodes for value in each.inputs if value is not None)
    return not any(producer is not None and producer.graph is loop.body for producer in read)


def _inside(node: ir.Node) -> list[ir.Node]:
    graphs = [attribute.as_graph() for attribute in filter(is_graph, node.attributes.values())]
    return [each for graph in graphs for each in ir.traversal.RecursiveGraphIterator(graph)]


def _read_size_outside(loop: ScanLoop, node: ir.Node) -> None:
    """Shape of a state, or of an element, as Shape of what it comes from."""
    value = node.inputs[0] if node.op_type == "Shape" else None
    if value is None or value not in loop.body.inputs:
        return
    position = [*loop.body.inputs].index(value)
    outer = loop.node.inputs[position]
    if outer is None or outer.shape is None:
        return
    if position < loop.num_states:
        node.replace_input_with(0, outer)
    elif loop.input_axes[position - loop.num_states] == 0:
        full = outer.shape.rank() - 1
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", full)
        start, end = (min(max(at + full if at < 0 else at, 0), full) + 1 for at in (start, end))
        node.attributes["start"], node.attributes["end"] = ir.AttrInt64("start", start), ir.AttrInt64("end", end)
        node.replace_input_with(0, outer)
