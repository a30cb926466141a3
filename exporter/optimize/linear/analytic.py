"""Which nodes compute analytic functions: where two of those are equal at random points, they are equal."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import read, subgraphs

# Of what these compute, a few random points say all: the results are analytic in the inputs, poles apart.
_ANALYTIC = {
    *("Add", "Sub", "Mul", "Div", "Neg", "Exp", "MatMul", "Gemm", "Einsum", "ReduceSum", "CumSum", "Identity", "Cast"),
    *("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Tile", "Pad", "Slice", "Split", "Concat", "Trilu"),
    *("Shape", "Size", "Scan", "Loop"),
}
# And of these if only the first inputs, so many, depend on the model's own.
_ANALYTIC_IN = {"Gather": (0,), "GatherElements": (0,), "GatherND": (0,), "Where": (1, 2)}
_SCATTERS = {"ScatterND": (0, 2), "ScatterElements": (0, 2)}


def is_analytic(node: ir.Node, dependent: frozenset[ir.Value]) -> bool:
    if not any(value in dependent for value in read(node)):
        return True
    allowed = {**_ANALYTIC_IN, **_SCATTERS}.get(node.op_type)
    if node.domain or (node.op_type not in _ANALYTIC and allowed is None):
        return False
    if node.op_type == "Cast" and not _is_float(node.outputs[0]):
        return False
    if allowed is not None:
        return all(
            value not in dependent for at, value in enumerate(node.inputs) if value is not None and at not in allowed
        )
    return all(_is_analytic_inside(graph, node, dependent) for graph in subgraphs(node))


def _is_analytic_inside(body: ir.Graph, node: ir.Node, dependent: frozenset[ir.Value]) -> bool:
    """In a body everything may depend on the inputs that depends on its own, whole numbers apart."""
    found = {*dependent, *(value for value in body.inputs if _is_float(value))}
    for inner in body:
        if not is_analytic(inner, frozenset(found)):
            return False
        if inner.op_type not in ("Shape", "Size") and any(value in found for value in read(inner)):
            found.update(inner.outputs)
    return True


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, ir.DataType.DOUBLE)
