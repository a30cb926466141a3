"""Whether a model file decides by values: an `If` or a `Loop` that depends on more of the inputs than their sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx

from ..onnx_file import all_graphs, read_onnx
from ..optimize.linear.guarded import IF_FINITE
from ..pytorch.archive import read_torchscript
from ..torch_internals.random_operators import graph_nodes

# What tells no more of a value than its shape.
_SHAPES = ("Shape", "Size")
_DECIDING = ("prim::If", "prim::Loop")


def decides_by_value(file: Path, carried: Mapping[str, str]) -> bool:
    """Whether some inputs of one size may lead a file another way than others; of TorchScript, whether it decides.

    Args:
        carried: the states' inputs and outputs; a counter of calls leads every stream the same way.

    Raises:
        BundleError: the file is no model.
    """
    if file.suffix == ".pt":
        module = read_torchscript(file)
        # Of a stream, what is computed in a step: around it lies when it begins.
        graph = (module.step if carried else module).inlined_graph  # kept: its nodes live no longer than it does
        return any(node.kind() in _DECIDING for node in graph_nodes(graph))
    graph = read_onnx(file, weights=False).graph
    if not any(node.op_type in ("If", "Loop") for each in all_graphs(graph) for node in each.node):
        return False
    dependent = _dependent(graph, carried)
    return any(name in dependent for each in all_graphs(graph) for node in each.node for name in _conditions(node))


def _dependent(graph: onnx.GraphProto, carried: Mapping[str, str]) -> set[str]:
    """The names of all values, also in bodies, that depend on the values of inputs, now or in calls before."""
    found = {value.name for value in graph.input if value.name not in carried}
    before = 0
    while len(found) > before:  # what a loop carries may depend on values from its second step on
        before = len(found)
        found.update(state for state, output in carried.items() if output in found)
        for each in all_graphs(graph):
            for node in each.node:
                found.update(target for target, sources in _flows(node) if found.intersection(sources))
    return found


def _flows(node: onnx.NodeProto) -> Iterator[tuple[str, list[str]]]:
    """Each value that a node gives, or hands to its body, and what that is made of."""
    if node.op_type in _SHAPES:
        return
    bodies = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    if not bodies:
        yield from ((output, list(node.input)) for output in node.output)
        return
    given = [] if node.op_type == "If" else list(node.input)
    for body in bodies:
        results = [value.name for value in body.output]
        inputs = [value.name for value in body.input]
        kept = results[1:] if node.op_type == "Loop" else results  # its first says whether it goes on
        starts, targets = (given[2:], inputs[2:]) if node.op_type == "Loop" else (given, inputs)
        for k, target in enumerate(targets):
            carried = kept[k : k + 1] if k < len(kept) else []
            yield target, [*starts[k : k + 1], *carried]
        for output, result in zip(node.output, kept, strict=False):
            yield output, [result, *_conditions(node), *starts]


def _conditions(node: onnx.NodeProto) -> list[str]:
    """What decides which branch a node takes, or how many steps."""
    if node.op_type == "If":  # what is infinite or NaN among the cases leads a file the other way there
        return [] if node.name.endswith(IF_FINITE) else [node.input[0]]
    if node.op_type != "Loop":
        return []
    body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
    return [name for name in (*node.input[:2], body.output[0].name) if name]
