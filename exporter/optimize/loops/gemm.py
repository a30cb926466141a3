"""`Gemm` is taken apart into a product and a sum, which can leave a loop one by one; what stays is joined again.

Weights that PyTorch stores transposed are stored as the products need them.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from .constants import array_of, replace_constant
from .loop import ScanLoop
from .rules import rank

# What ONNX Runtime has kernels of Gemm for.
_KERNELS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


def part_gemms(loops: Sequence[ScanLoop]) -> None:
    """In all bodies, Gemm(A, B, C) becomes MatMul(A, B) and Add, where B is not needed in its other form elsewhere."""
    for loop in loops:
        for node in [node for node in loop.body if node.op_type == "Gemm"]:
            weight = node.inputs[1]
            if node.attributes.get_int("transB", 0) and weight is not None and _is_always_transposed(weight):
                _turn(loop.main, weight)
            if _is_plain(node):
                _part(loop.body, node)


def _is_always_transposed(weight: ir.Value) -> bool:
    readers = all(
        node.op_type == "Gemm" and k == 1 and node.attributes.get_int("transB", 0) for node, k in weight.uses()
    )
    return readers and weight.is_initializer() and not weight.is_graph_output()


def _turn(main: ir.Graph, weight: ir.Value) -> None:
    array = array_of(weight)
    assert array is not None
    for node in weight.consumers():
        node.attributes["transB"] = ir.AttrInt64("transB", 0)
    replace_constant(main, weight, array.T)


def _is_plain(node: ir.Node) -> bool:
    scaled = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    turned = [node.attributes.get_int(name, 0) for name in ("transA", "transB")]
    return scaled == [1.0, 1.0] and turned == [0, 0]


def _part(body: ir.Graph, node: ir.Node) -> None:
    result = node.outputs[0]
    nodes = [ir.node("MatMul", node.inputs[:2], name=node.name)]
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        nodes.append(ir.node("Add", [nodes[0].outputs[0], node.inputs[2]], name=f"{node.name}.bias"))
        nodes[0].outputs[0].name = f"{result.name}.product"
    for made in nodes:
        made.outputs[0].type, made.outputs[0].shape = result.type, result.shape
    nodes[-1].outputs[0].name = result.name
    body.insert_before(node, nodes)
    ir.convenience.replace_all_uses_with(result, nodes[-1].outputs[0], replace_graph_outputs=True)
    body.remove(node, safe=True)


def join_gemms(loops: Sequence[ScanLoop]) -> None:
    """In all bodies, MatMul and the Add of what has its shape, or of a bias, become one Gemm."""
    for loop in loops:
        for node in [node for node in loop.body if node.op_type == "Add"]:
            _join(loop.body, node)


def _join(body: ir.Graph, node: ir.Node) -> None:
    for k, value in enumerate(node.inputs):
        other = node.inputs[1 - k]
        product = None if value is None else value.producer()
        if other is None or product is None or product.op_type != "MatMul" or product.graph is not body:
            continue
        assert value is not None
        alone = len(value.uses()) == 1 and not value.is_graph_output()
        if alone and _is_matrix(product.inputs[0]) and _is_matrix(product.inputs[1]) and _fits(other, value):
            gemm = ir.node("Gemm", [*product.inputs, other], name=product.name)
            result = gemm.outputs[0]
            result.name, result.type, result.shape = node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape
            body.insert_before(node, gemm)
            ir.convenience.replace_all_uses_with(node.outputs[0], result, replace_graph_outputs=True)
            body.remove([node, product], safe=True)
            return


def _is_matrix(value: ir.Value | None) -> bool:
    return value is not None and value.shape is not None and rank(value) == 2


def _fits(addend: ir.Value, result: ir.Value) -> bool:
    """Whether a sum has the shape of the product: Gemm broadcasts its addend, but not the product."""
    if addend.shape is None or result.shape is None or addend.shape.rank() > 2 or result.dtype not in _KERNELS:
        return False
    pairs = zip(reversed(addend.shape), reversed(result.shape), strict=False)
    return all(dim in (1, full) for dim, full in pairs)
