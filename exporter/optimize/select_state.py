"""Reading one layer's final state straight from that layer: Gather(Concat(a, b, c), k) becomes Gather(b, j).

Works in place. Taking `h_n[-1]` of a stack is the usual way to the last hidden state; the other layers' states need
then be neither computed nor joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir


def select_state(model: ir.Model) -> None:
    """Apply to every Gather along axis 0 by one constant index of a Concat along axis 0 of parts of known length."""
    for node in list(model.graph):
        if node.op_type == "Gather" and node.attributes.get_int("axis", 0) == 0:
            _shorten(model.graph, node)


def _shorten(graph: ir.Graph, node: ir.Node) -> None:
    data, indices = node.inputs
    assert data is not None
    assert indices is not None
    concat, index = data.producer(), ir.convenience.get_const_tensor(indices)
    if concat is None or concat.op_type != "Concat" or concat.attributes.get_int("axis") != 0:
        return
    lengths = [_length(part) for part in concat.inputs]
    if index is None or index.shape.rank() != 0 or None in lengths:
        return
    part, position = _locate([length for length in lengths if length is not None], int(index.numpy()))
    tensor = ir.tensor(np.array(position, np.int64), name=f"{indices.name}.{position}")
    moved = ir.Value(name=tensor.name, const_value=tensor, shape=ir.Shape([]), type=ir.TensorType(tensor.dtype))
    if tensor.name not in graph.initializers:
        graph.register_initializer(moved)
    node.replace_input_with(0, concat.inputs[part])
    node.replace_input_with(1, graph.initializers[str(tensor.name)])


def _length(value: ir.Value | None) -> int | None:
    length = value.shape[0] if value is not None and value.shape is not None else None
    return length if isinstance(length, int) else None


def _locate(lengths: Sequence[int], index: int) -> tuple[int, int]:
    """Which part an index into the whole falls in, and the index within that part."""
    index = index + sum(lengths) if index < 0 else index
    part = 0
    while index >= lengths[part]:
        index -= lengths[part]
        part += 1
    return part, index
