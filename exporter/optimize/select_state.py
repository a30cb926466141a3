"""Read one layer's final state from that layer: Gather(Concat(a, b, c), k) to Gather(b, j).

Works in place. Models usually take the last hidden state as `h_n[-1]` of a stack; the other layers' states then need
not be computed or joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .graph import constant_like


def select_state(model: ir.Model) -> None:
    """Apply to every Gather by one constant index of a Concat of parts of known length, both along axis 0."""
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
    node.replace_input_with(0, concat.inputs[part])
    node.replace_input_with(1, constant_like(graph, f"{indices.name}.{position}", np.array(position, np.int64)))


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
