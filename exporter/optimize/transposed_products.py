"""Transpose after a float16 product, not before it: MatMul(Transpose(x), W) to Transpose(MatMul(x, W)).

Works in place; rows keep their products. Loading the first form, which `batch_first` is enough for, ends ONNX Runtime
with a segmentation fault (1.24.4 and 1.25.1 by microsoft/onnxruntime#28392, and 1.32.0).
"""

from __future__ import annotations

import onnx_ir as ir


def move_transposes(model: ir.Model) -> None:
    """Apply to every MatMul of a Transpose that keeps the last axis last by a float16 matrix."""
    for node in list(ir.traversal.RecursiveGraphIterator(model.graph)):
        if node.op_type == "MatMul" and node.domain == "":
            _move(node)


def _move(product: ir.Node) -> None:
    x, matrix = product.inputs
    transpose = None if x is None else x.producer()
    if transpose is None or transpose.op_type != "Transpose" or transpose.graph is not product.graph:
        return
    if matrix is None or matrix.dtype != ir.DataType.FLOAT16 or matrix.shape is None or matrix.shape.rank() != 2:
        return
    perm = list(transpose.attributes.get_ints("perm", []))
    if not perm or perm[-1] != len(perm) - 1:
        return
    result, graph = product.outputs[0], product.graph
    assert isinstance(graph, ir.Graph)
    step = ir.tape.Tape()
    rows = step.op("MatMul", [transpose.inputs[0], matrix])
    moved = step.op("Transpose", [rows], {"perm": perm})
    rows.type, moved.type, moved.shape = result.type, result.type, result.shape
    rows.name, moved.name = f"{result.name}.rows", f"{result.name}.moved"
    graph.insert_before(product, step.nodes)
    ir.convenience.replace_all_uses_with(result, moved, replace_graph_outputs=True)
    graph.remove(product, safe=True)
