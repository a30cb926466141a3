"""Nodes with one output that take another's place in a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir


def made(
    op_type: str,
    inputs: Sequence[ir.Value | None],
    like: ir.Value,
    name: str,
    attributes: Mapping[str, int] | None = None,
) -> ir.Node:
    """A node whose output has the type of another value, and its shape until that is set."""
    node = ir.node(op_type, inputs, attributes, name=name)
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = name, like.type, like.shape
    return node


def replace(body: ir.Graph, old: ir.Node, nodes: Sequence[ir.Node]) -> None:
    """Put nodes in the place of one, whose output the last of them computes."""
    result, new = old.outputs[0], nodes[-1].outputs[0]
    body.insert_before(old, nodes)
    new.name, result.name = result.name, None
    ir.convenience.replace_all_uses_with(result, new, replace_graph_outputs=True)
    body.remove(old, safe=True)


def broadcast(values: Sequence[ir.Value]) -> ir.Shape | None:
    """The shape of a sum; None where it is not known."""
    if any(value.shape is None for value in values):
        return None
    shapes = [[*(value.shape or ())] for value in values]
    full = max(map(len, shapes))
    columns = zip(*([1] * (full - len(shape)) + shape for shape in shapes), strict=True)
    dims = [[*dict.fromkeys(dim for dim in column if dim != 1)] for column in columns]
    return None if any(len(dim) > 1 for dim in dims) else ir.Shape([dim[0] if dim else 1 for dim in dims])
