"""The graph of an ONNX file for any number of steps, where the file holds another one for a single step beside it."""

from __future__ import annotations

from onnx import AttributeProto, GraphProto

from ..passes.single_step import ANY_LENGTH, BRANCHES


def for_any_length(graph: GraphProto) -> GraphProto:
    """The graph with the branch for any length in place of the `If` that `add_single_step` made; else as it is."""
    choice = next((node for node in graph.node if node.op_type == "If" and node.name == BRANCHES), None)
    if choice is None:
        return graph
    branch = next(attribute.g for attribute in choice.attribute if attribute.name == "else_branch")
    _drop_prefix(branch)
    whole = GraphProto()
    whole.CopyFrom(graph)
    del whole.node[:]
    whole.node.extend(branch.node)
    return whole


def _drop_prefix(graph: GraphProto) -> None:
    """What is in the branch has its name from outside again, which its outputs then share with the file's."""
    for node in graph.node:
        node.name = node.name.removeprefix(f"{ANY_LENGTH}.")
        node.input[:] = [name.removeprefix(f"{ANY_LENGTH}.") for name in node.input]
        node.output[:] = [name.removeprefix(f"{ANY_LENGTH}.") for name in node.output]
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                _drop_prefix(attribute.g)
    for value in (*graph.input, *graph.output):
        value.name = value.name.removeprefix(f"{ANY_LENGTH}.")
