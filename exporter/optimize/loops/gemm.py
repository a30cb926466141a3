"""Take `Gemm` apart into a product and a sum, which can leave a loop one by one; fuse again what stays in it.

Weights that PyTorch stores transposed are stored as the products need them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from ..graph import array_of, node_like, rank, replace_constant
from .scan_loop import Origin, ScanLoop

# The dtypes that ONNX Runtime has kernels of Gemm for.
_KERNELS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)


def split_gemms(loop: ScanLoop) -> None:
    """In the body, Gemm(A, B, C) becomes MatMul(A, B) and Add, unless B is read as it is elsewhere."""
    for node in [node for node in loop.body if node.op_type == "Gemm"]:
        weight = node.inputs[1]
        if node.attributes.get_int("transB", 0) and weight is not None and _is_always_transposed(weight):
            _transpose(loop.main, weight)
        if _is_plain(node):
            _split(loop.body, node)


def _is_always_transposed(weight: ir.Value) -> bool:
    readers = all(
        node.op_type == "Gemm" and k == 1 and node.attributes.get_int("transB", 0) for node, k in weight.uses()
    )
    return readers and weight.is_initializer() and not weight.is_graph_output()


def _transpose(main: ir.Graph, weight: ir.Value) -> None:
    array = array_of(weight)
    assert array is not None
    for node in weight.consumers():
        node.attributes["transB"] = ir.AttrInt64("transB", 0)
    replace_constant(main, weight, array.T)


def _is_plain(node: ir.Node) -> bool:
    scaled = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
    transposed = [node.attributes.get_int(name, 0) for name in ("transA", "transB")]
    return scaled == [1.0, 1.0] and transposed == [0, 0]


def _split(body: ir.Graph, node: ir.Node) -> None:
    result = node.outputs[0]
    nodes = [node_like("MatMul", node.inputs[:2], result, f"{result.name}.product")]
    nodes[0].name = node.name
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        nodes.append(ir.node("Add", [nodes[0].outputs[0], node.inputs[2]], name=f"{node.name}.bias"))
    ir.convenience.replace_nodes_and_values(body, node, [node], nodes, [result], nodes[-1].outputs)


# The order of the terms of a sum: what can leave the loop first, biases before elements.
_ORDER = (Origin.INVARIANT, Origin.FORWARD, Origin.REVERSE, Origin.STATE)


def reassociate_adds(loop: ScanLoop) -> None:
    """Reorder the terms of every sum so that those that can leave the loop are added up first, products last.

    Each product then becomes one `Gemm` with what was added up before it. Applies to sums of three terms or more, of
    which some depend on a state and others do not.
    """
    for node in [node for node in loop.body if _is_sum(node) and not _is_term(node)]:
        origins = loop.origins()
        terms = [*_terms(node)]
        free = [origin for term in terms if (origin := origins.get(term, Origin.INVARIANT)) is not Origin.STATE]
        # Where only a bias could move, it stays with its product.
        if len(terms) > len(free) and len(terms) > 2 and free not in ([], [Origin.INVARIANT]):
            _rebuild(loop.body, node, sorted(terms, key=lambda term: _position(term, origins)))


def _is_sum(node: ir.Node) -> bool:
    return node.op_type == "Add" and node.domain == ""


def _is_term(node: ir.Node) -> bool:
    """Whether a sum is read by one other sum, and by nothing else."""
    value = node.outputs[0]
    readers = value.consumers()
    alone = len(value.uses()) == 1 and not value.is_graph_output()
    return alone and _is_sum(readers[0]) and readers[0].graph is node.graph


def _terms(node: ir.Node) -> Iterator[ir.Value]:
    for value in node.inputs:
        assert value is not None
        producer = value.producer()
        if producer is not None and producer.graph is node.graph and _is_sum(producer) and _is_term(producer):
            yield from _terms(producer)
        else:
            yield value


def _position(term: ir.Value, origins: Mapping[ir.Value, Origin]) -> tuple[int, bool]:
    producer = term.producer()
    return _ORDER.index(origins.get(term, Origin.INVARIANT)), producer is not None and producer.op_type == "MatMul"


def _rebuild(body: ir.Graph, node: ir.Node, terms: list[ir.Value]) -> None:
    result, total, nodes = node.outputs[0], terms[0], []
    for i, term in enumerate(terms[1:], 1):
        add = node_like("Add", [term, total], result, f"{result.name}.{i}")
        shape = _broadcast(terms[: i + 1])
        if shape is None:
            return
        add.outputs[0].shape = shape
        nodes.append(add)
        total = add.outputs[0]
    ir.convenience.replace_nodes_and_values(body, node, [node], nodes, [result], [total])


def _broadcast(values: Sequence[ir.Value]) -> ir.Shape | None:
    """The shape of a sum; None where it is not known."""
    if any(value.shape is None for value in values):
        return None
    shapes = [[*(value.shape or ())] for value in values]
    full = max(map(len, shapes))
    columns = zip(*([1] * (full - len(shape)) + shape for shape in shapes), strict=True)
    dims = [[*dict.fromkeys(dim for dim in column if dim != 1)] for column in columns]
    return None if any(len(dim) > 1 for dim in dims) else ir.Shape([dim[0] if dim else 1 for dim in dims])


def fuse_gemms(loop: ScanLoop) -> None:
    """In the body, a MatMul of two matrices and the Add of a bias, or of what has its shape, become one Gemm."""
    for node in [node for node in loop.body if node.op_type == "Add"]:
        for k, value in enumerate(node.inputs):
            product, addend = None if value is None else value.producer(), node.inputs[1 - k]
            if product is not None and addend is not None and _is_fusible(loop.body, product, addend):
                gemm = ir.node("Gemm", [*product.inputs, addend], name=product.name)
                ir.convenience.replace_nodes_and_values(
                    loop.body, node, [node, product], [gemm], node.outputs, gemm.outputs
                )
                break


def _is_fusible(body: ir.Graph, product: ir.Node, addend: ir.Value) -> bool:
    result = product.outputs[0]
    alone = len(result.uses()) == 1 and not result.is_graph_output()
    return (
        product.op_type == "MatMul"
        and product.graph is body
        and alone
        and all(map(_is_matrix, product.inputs))
        and _fits(addend, result)
    )


def _is_matrix(value: ir.Value | None) -> bool:
    return value is not None and value.shape is not None and rank(value) == 2


def _fits(addend: ir.Value, result: ir.Value) -> bool:
    """Whether a sum has the shape of the product: Gemm broadcasts its addend, but not the product."""
    if addend.shape is None or result.shape is None or addend.shape.rank() > 2 or result.dtype not in _KERNELS:
        return False
    pairs = zip(reversed(addend.shape), reversed(result.shape), strict=False)
    return all(dim in (1, full) for dim, full in pairs)
