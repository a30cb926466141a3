"""Replace the product of a one-hot vector and a matrix by a row of the matrix: MatMul(one_hot(i), W) to Gather(W, i).

Works in place. The signature must say that no index lies outside the matrix, since such an index has no one in its
vector and the product is zero; and all weights must be finite, since zero times infinity is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from ..spec.signature import Signature
from .graph import array_of, node_like, replace_constant
from .loops.scan_loop import ScanLoop

# Operators that give nothing but elements of their first input (ONNX operator specification).
_MOVES = {"Transpose", "Reshape", "Unsqueeze", "Squeeze", "Slice", "Gather", "Identity", "Split", "Expand", "Flatten"}


def one_hot_to_gather(main: ir.Graph, signature: Signature) -> None:
    """Apply to every MatMul of the graph and of the bodies in it; a bias is added to the matrix."""
    ranges = {
        value: spec.range for value, spec in zip(main.inputs, signature.inputs.values(), strict=False) if spec.range
    }
    sequences = _sequences(main)
    for node in [node for node in ir.traversal.RecursiveGraphIterator(main) if node.op_type == "MatMul"]:
        matrix = array_of(node.inputs[1])
        indices = None if matrix is None or matrix.ndim != 2 else _indices(node.inputs[0], len(matrix))
        if matrix is None or indices is None or not np.isfinite(matrix).all():
            continue
        if _is_within(indices, len(matrix), ranges, sequences) and isinstance(node.graph, ir.Graph):
            rows = node.outputs[0]
            gather = node_like("Gather", [node.inputs[1], indices], rows, str(rows.name), {"axis": 0})
            ir.convenience.replace_nodes_and_values(node.graph, node, [node], [gather], [rows], gather.outputs)
            _add_bias(main, gather)


def _indices(value: ir.Value | None, depth: int) -> ir.Value | None:
    """The indices that a one-hot vector [..., depth] was made from, as `torch.nn.functional.one_hot` makes it."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in ("Cast", "Identity") and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    if node is None or node.op_type != "Equal":
        return None
    for column, classes in (node.inputs, node.inputs[::-1]):
        counted = array_of(classes)
        if counted is not None and np.array_equal(counted, np.arange(depth)):
            return _before_unsqueeze(column)
    return None


def _before_unsqueeze(column: ir.Value | None) -> ir.Value | None:
    node = None if column is None else column.producer()
    axes = None if node is None or node.op_type != "Unsqueeze" else array_of(node.inputs[1])
    if node is None or axes is None or column is None or column.shape is None:
        return None
    return node.inputs[0] if axes.reshape(-1).tolist() in ([-1], [column.shape.rank() - 1]) else None


def _is_within(
    value: ir.Value | None,
    depth: int,
    ranges: Mapping[ir.Value, tuple[int, int | str]],
    sequences: Mapping[ir.Value, ir.Value],
) -> bool:
    """Whether every element comes from inputs whose values are 0 to depth - 1."""
    if value is None:
        return False
    low, high = ranges.get(value, (-1, -1))
    if isinstance(high, int) and 0 <= low <= high < depth:
        return True
    constant = array_of(value)
    if constant is not None:
        return bool(constant.size and constant.min() >= 0 and constant.max() < depth)
    node = value.producer()
    if node is None:
        return value in sequences and _is_within(sequences[value], depth, ranges, sequences)
    if node.op_type == "Concat":
        return all(_is_within(part, depth, ranges, sequences) for part in node.inputs)
    return node.op_type in _MOVES and node.domain == "" and _is_within(node.inputs[0], depth, ranges, sequences)


def _sequences(main: ir.Graph) -> dict[ir.Value, ir.Value]:
    """The sequence that each element in the body of a loop is taken from."""
    found: dict[ir.Value, ir.Value] = {}
    for node in ir.traversal.RecursiveGraphIterator(main):
        if node.op_type == "Scan" and node.domain == "":
            loop = ScanLoop(node, main)
            pairs = zip(loop.elements, node.inputs[loop.num_states :], strict=True)
            found.update({element: outer for element, outer in pairs if outer is not None})
    return found


def _add_bias(main: ir.Graph, gather: ir.Node) -> None:
    """Gather(W, i) + b = Gather(W + b, i), where W and the rows have no other reader."""
    rows, weight = gather.outputs[0], gather.inputs[0]
    readers = rows.consumers()
    if weight is None or len(rows.uses()) != 1 or rows.is_graph_output() or len(weight.uses()) != 1:
        return
    add = readers[0]
    other = next((value for value in add.inputs if value is not rows), None)
    bias, matrix = array_of(other), array_of(weight)
    if add.op_type != "Add" or add.graph is not gather.graph or bias is None or matrix is None or bias.ndim != 1:
        return
    if len(bias) == matrix.shape[1] and weight.is_initializer():
        replace_constant(main, weight, np.add(matrix, bias))
        rows.name, add.outputs[0].name = add.outputs[0].name, None
        ir.convenience.replace_all_uses_with(add.outputs[0], rows, replace_graph_outputs=True)
        assert isinstance(add.graph, ir.Graph)
        add.graph.remove(add, safe=True)
