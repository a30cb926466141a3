"""What passes need of an ONNX graph: constants, bodies, nodes like others; and folding constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

Array = NDArray[np.generic]


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs inside a node: the body of a loop, the branches of an If."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()


def read(node: ir.Node) -> list[ir.Value]:
    """What a node reads, its bodies included."""
    return [value for value in (*node.inputs, *captured(node)) if value is not None]


def captured(node: ir.Node) -> Iterator[ir.Value | None]:
    """What the graphs inside a node read from around it (and, which does no harm, from within)."""
    for graph in subgraphs(node):
        for inner in ir.traversal.RecursiveGraphIterator(graph):
            yield from inner.inputs


def defined_by(node: ir.Node) -> Iterator[ir.Value]:
    """The outputs of a node, and the inputs of the graphs inside it."""
    yield from node.outputs
    for graph in subgraphs(node):
        yield from graph.inputs


def rank(value: ir.Value | None) -> int:
    """The number of dimensions of a value whose shape is known."""
    assert value is not None
    assert value.shape is not None
    return value.shape.rank()


def array_of(value: ir.Value | None) -> Array | None:
    """The elements of a constant; None for anything else."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def add_constant(main: ir.Graph, name: str, array: Array) -> ir.Value:
    """Add an initializer to the main graph, called `name` or, where that is taken, `name_`."""
    while name in main.initializers:
        name += "_"
    tensor = ir.tensor(np.ascontiguousarray(array) if array.ndim else array, name=name)
    value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
    main.register_initializer(value)
    return value


def constant_like(main: ir.Graph, name: str, array: Array) -> ir.Value:
    """The initializer called `name` if it holds this array, else a new one."""
    same = main.initializers.get(name)
    if same is not None and np.array_equal(np.asarray(array_of(same)), array):
        return same
    return add_constant(main, name, array)


def replace_constant(main: ir.Graph, old: ir.Value, array: Array) -> ir.Value:
    """Replace an initializer by one of the same name."""
    name = str(old.name)
    del main.initializers[name]
    new = add_constant(main, name, array)
    ir.convenience.replace_all_uses_with(old, new)
    return new


def node_like(
    op_type: str,
    inputs: Sequence[ir.Value | None],
    like: ir.Value,
    name: str,
    attributes: Mapping[str, int] | None = None,
) -> ir.Node:
    """A node called `name`, whose output has that name too, and the type and shape of `like`."""
    node = ir.node(op_type, inputs, attributes, name=name)
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = name, like.type, like.shape
    return node


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


def numbered(name: str) -> Iterator[str]:
    """A name, and the same with a number behind, to take the first that is free from."""
    return chain([name], (f"{name}_{i}" for i in count(1)))
