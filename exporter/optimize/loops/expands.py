"""Leave out what spreads a value to a shape that its reader spreads it to: x / Expand(norm, shape of x) is x / norm.

Works in place. An `Expand` to computed sizes cannot be batched over time, nor what reads it.
"""

from __future__ import annotations

import onnx_ir as ir

from .scan_loop import ScanLoop

_SPREADS = {"Add", "Sub", "Mul", "Div"}


def drop_expands(loop: ScanLoop) -> None:
    """Leave out every `Expand` of a body whose readers all spread their operands themselves."""
    for node in [node for node in loop.body if node.op_type == "Expand" and node.domain == ""]:
        given, result = node.inputs[0], node.outputs[0]
        uses = [*result.uses()]
        if given is not None and uses and all(_spreads(use.node, use.idx, result) for use in uses):
            ir.convenience.replace_all_uses_with(result, given)
            if not result.is_graph_output():
                loop.body.remove(node, safe=True)


def _spreads(node: ir.Node, at: int, spread: ir.Value) -> bool:
    """Whether a node's other operand has the shape of the one that was spread."""
    if node.op_type not in _SPREADS or node.domain != "":
        return False
    other = node.inputs[1 - at]
    return other is not None and other.shape is not None and _is_known(spread.shape) and other.shape == spread.shape


def _is_known(shape: ir.Shape | None) -> bool:
    return shape is not None and all(isinstance(size, int) or size.value is not None for size in shape)
