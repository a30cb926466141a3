"""A loop runs over nothing that it does not read, and stacks nothing that is not read."""

from __future__ import annotations

from .loop import ScanLoop


def drop_unused(loop: ScanLoop) -> None:
    """Leave out results of steps that have no reader, nodes of the body that nothing reads, and then sequences."""
    many = loop.num_states
    unread = [k for k, value in enumerate(loop.node.outputs[many:]) if not value.uses() and not value.is_graph_output()]
    loop.drop_steps(unread)
    drop_unread(loop)
    rows = [*zip(loop.node.inputs[many:], loop.elements, loop.origins_of_elements, loop.input_axes, strict=True)]
    read = [row for row in rows if row[1].uses() or row[1] in loop.body.outputs]
    loop.set_inputs(read or rows[:1])


def drop_unread(loop: ScanLoop) -> None:
    """Leave out nodes of the body that nothing reads."""
    for node in reversed(list(loop.body)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            loop.body.remove(node, safe=True)
