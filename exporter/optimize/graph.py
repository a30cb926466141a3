"""Read and edit an onnx-ir graph: the bodies inside nodes, constants, nodes like others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Array = NDArray[np.generic]


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs inside a node: the body of a loop, the branches of an If."""
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()


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
