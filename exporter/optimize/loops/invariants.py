"""Move loop-invariant nodes before the loop, and remove what is then unused: nodes, sequences and step outputs."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import subgraphs
from .scan_loop import Origin, ScanLoop

# Operators that give another result each time they run (ONNX operator specification).
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}


def move_invariants(loop: ScanLoop) -> None:
    """Move nodes that depend neither on states nor on elements before the loop; their sizes do not change either."""
    for node in list(loop.body):
        _read_size_outside(loop, node)
    origins = loop.origins()
    for node in list(loop.body):
        if all(origins[value] is Origin.INVARIANT for value in node.outputs) and _is_movable(loop, node):
            for i, value in enumerate(loop.body.outputs):
                if value in node.outputs:
                    loop.body.outputs[i] = loop.copy(value, "copy")
            loop.body.remove(node)
            loop.graph.insert_before(loop.node, node)


def _is_movable(loop: ScanLoop, node: ir.Node) -> bool:
    """Whether a node gives the same each time, and everything that it reads has moved already."""
    nodes = [node, *(inner for graph in subgraphs(node) for inner in ir.traversal.RecursiveGraphIterator(graph))]
    if any(each.op_type in _RANDOM for each in nodes):
        return False
    read = (value.producer() for each in nodes for value in each.inputs if value is not None)
    return not any(producer is not None and producer.graph is loop.body for producer in read)


def _read_size_outside(loop: ScanLoop, node: ir.Node) -> None:
    """Replace the Shape of a state by that of the initial state, and of an element by that of its sequence."""
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


def remove_unread(loop: ScanLoop) -> None:
    """Remove nodes of the body that nothing reads."""
    for node in reversed(list(loop.body)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            loop.body.remove(node, safe=True)


def remove_unused(loop: ScanLoop) -> None:
    """Remove step outputs, nodes of the body and sequences that nothing reads; one sequence is kept, for the length."""
    many = loop.num_states
    unread = [k for k, value in enumerate(loop.node.outputs[many:]) if not value.uses() and not value.is_graph_output()]
    loop.drop_steps(unread)
    remove_unread(loop)
    rows = [*zip(loop.node.inputs[many:], loop.elements, loop.origins_of_elements, loop.input_axes, strict=True)]
    read = [row for row in rows if row[1].uses() or row[1] in loop.body.outputs]
    loop.set_inputs(read or rows[:1])
