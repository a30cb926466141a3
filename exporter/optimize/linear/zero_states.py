"""Leave out initial states that are zeros: `LinearAttention` begins with zeros by itself, and need not read them.

Works in place, once a stream's states are inputs, which no longer are zeros for the graph.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..graph import array_of
from ..recurrent_states import WITH_STATE
from .operator import OPERATOR

# Where these have zeros, they give zeros.
_MOVES = ("Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand")


def leave_out_zero_states(model: ir.Model) -> None:
    """Apply to every such operator, those in branches too."""
    place = WITH_STATE[OPERATOR].before
    nodes = [node for node in ir.traversal.RecursiveGraphIterator(model.graph) if node.op_type == OPERATOR]
    for node in nodes:
        if place < len(node.inputs) and _is_zero(node.inputs[place]):
            node.replace_input_with(place, None)
            if not any(node.inputs[place:]):
                node.resize_inputs(place)
    if nodes:
        RemoveUnusedNodesPass()(model)


def _is_zero(value: ir.Value | None) -> bool:
    constant = array_of(value)
    if constant is not None:
        return not constant.any()
    node = None if value is None else value.producer()
    if node is None or node.domain:
        return False
    if node.op_type == "ConstantOfShape":
        filler = node.attributes.get("value")
        return filler is None or not filler.as_tensor().numpy().any()
    return node.op_type in _MOVES and _is_zero(node.inputs[0])
