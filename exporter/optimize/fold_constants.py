"""Fold constants: compute what depends only on constants. Works in place, on the main graph, at opset 18."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from .graph import Array, add_constant, array_of, subgraphs

# Results that differ from call to call, and results that are larger than what they are made of.
_NOT_FOLDED = ("RandomNormal", "RandomUniform", "Constant", "ConstantOfShape", "Expand", "Tile", "Range", "Shape")


def fold_constants(graph: ir.Graph) -> None:
    """Replace every node of the main graph whose inputs are all constant by what it computes."""
    for node in list(graph):
        if node.domain == "" and node.op_type not in _NOT_FOLDED and node.inputs and _is_foldable(node):
            values = [add_constant(graph, _name(node), array) for array in _evaluate(node)]
            ir.convenience.replace_all_uses_with(node.outputs, values)
            graph.remove(node, safe=True)


def _is_foldable(node: ir.Node) -> bool:
    given = [value for value in node.inputs if value is not None]
    # A tied weight would be stored twice.
    tied = node.op_type == "Transpose" and any(len(value.uses()) > 1 for value in given)
    return (
        not list(subgraphs(node))
        and not tied
        and all(ir.convenience.get_const_tensor(value) is not None for value in given)
        and not any(value.is_graph_output() for value in node.outputs)
    )


def _name(node: ir.Node) -> str:
    """The name of the largest constant that a node reads."""
    return str(max((value for value in node.inputs if value is not None), key=_size).name)


def _size(value: ir.Value) -> int:
    tensor = ir.convenience.get_const_tensor(value)
    return 0 if tensor is None else tensor.size


def _evaluate(node: ir.Node) -> Sequence[Array]:
    """The outputs of a node with constant inputs."""
    inputs = [
        value if value is None else ir.Value(name=value.name, type=value.type, shape=value.shape)
        for value in node.inputs
    ]
    copy = ir.Node("", node.op_type, inputs, node.attributes, num_outputs=len(node.outputs))
    for i, output in enumerate(copy.outputs):
        output.name, output.type = f"output.{i}", node.outputs[i].type
    given = {str(value.name): value for value in inputs if value is not None}
    graph = ir.Graph([*given.values()], copy.outputs, nodes=[copy], opset_imports={"": 18}, name="constant")
    proto = ir.to_proto(ir.Model(graph, ir_version=10))
    arrays = {str(value.name): array_of(value) for value in node.inputs if value is not None}
    return [np.asarray(array) for array in ReferenceEvaluator(proto).run(None, arrays)]
