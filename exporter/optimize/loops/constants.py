"""Constants: reading and adding them, and computing what depends on nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from ..places import is_graph

Array = NDArray[np.generic]

# An operator whose result differs from call to call, or whose constant form is larger than what it is made of.
_NOT_FOLDED = ("RandomNormal", "RandomUniform", "Constant", "ConstantOfShape", "Expand", "Tile", "Range", "Shape")


def array_of(value: ir.Value | None) -> Array | None:
    """The elements of a constant."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def is_constant(value: ir.Value | None) -> bool:
    return value is not None and ir.convenience.get_const_tensor(value) is not None


def add_constant(main: ir.Graph, name: str, array: Array) -> ir.Value:
    """An initializer of the main graph, called `name` or, where that is taken, `name_`."""
    while name in main.initializers:
        name += "_"
    tensor = ir.tensor(np.ascontiguousarray(array) if array.ndim else array, name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    main.register_initializer(value)
    return value


def constant_like(main: ir.Graph, name: str, array: Array) -> ir.Value:
    """A small constant, which is there once."""
    same = main.initializers.get(name)
    if same is not None and np.array_equal(np.asarray(array_of(same)), array):
        return same
    return add_constant(main, name, array)


def replace_constant(main: ir.Graph, old: ir.Value, array: Array) -> ir.Value:
    """A constant that takes another's name, for it is to have no readers left."""
    name = str(old.name)
    del main.initializers[name]
    new = add_constant(main, name, array)
    ir.convenience.replace_all_uses_with(old, new)
    return new


def fold(graph: ir.Graph) -> None:
    """Replace every node of the main graph whose inputs are all constant by what it computes."""
    for node in list(graph):
        if node.domain == "" and node.op_type not in _NOT_FOLDED and node.inputs and _is_foldable(node):
            values = [add_constant(graph, _name(node), array) for array in evaluate(node)]
            ir.convenience.replace_all_uses_with(node.outputs, values)
            graph.remove(node, safe=True)


def _is_foldable(node: ir.Node) -> bool:
    given = [value for value in node.inputs if value is not None]
    plain = not any(is_graph(attribute) for attribute in node.attributes.values())
    # A tied weight would be stored twice.
    tied = node.op_type == "Transpose" and any(len(value.uses()) > 1 for value in given)
    return (
        plain
        and not tied
        and all(map(is_constant, given))
        and not any(value.is_graph_output() for value in node.outputs)
    )


def _name(node: ir.Node) -> str:
    """After the largest of the weights that it was made from."""
    return str(max((value for value in node.inputs if value is not None), key=_size).name)


def _size(value: ir.Value) -> int:
    tensor = ir.convenience.get_const_tensor(value)
    return 0 if tensor is None else tensor.size


def evaluate(node: ir.Node) -> Sequence[Array]:
    """What a node with constant inputs computes."""
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
