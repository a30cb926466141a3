"""Leave out the threshold of PyTorch's softplus: Where(x > 20, x, Softplus(x)) to Softplus(x).

Beyond it the two are the same float32, since what is left out, log(1 + exp(-x)), is less than half of its last bit. Two
of the 34 nodes of a Mamba block's step were for that. ONNX Runtime's kernel computes x + log(1 + exp(-x)) for x above
0, so that nothing overflows, and only files for it have steps.
"""

from __future__ import annotations

import onnx_ir as ir

from ..graph import array_of

# log(1 + exp(-x)) is 2e-9 there, and the last bit of x 2e-6.
_LEAST = 20


def drop_thresholds(branch: ir.Graph) -> None:
    """Rewrite the main nodes of a branch, in place; the old ones are left without readers."""
    for node in list(branch):
        plain = _softplus(node)
        if plain is not None:
            ir.convenience.replace_all_uses_with(node.outputs[0], plain, replace_graph_outputs=True)


def _softplus(node: ir.Node) -> ir.Value | None:
    """The value that a choice between it and its operand is, wherever they differ."""
    if (node.domain, node.op_type) != ("", "Where"):
        return None
    above, x, plain = (_scaled(value) for value in node.inputs)
    asked, made = (None if value is None else value.producer() for value in (above, plain))
    if x is None or asked is None or made is None or x.dtype != ir.DataType.FLOAT:
        return None
    if (asked.op_type, made.op_type) != ("Greater", "Softplus") or {
        _scaled(asked.inputs[0]),
        _scaled(made.inputs[0]),
    } != {x}:
        return None
    least = array_of(asked.inputs[1])
    return plain if least is not None and least.size == 1 and float(least.reshape(())) >= _LEAST else None


def _scaled(value: ir.Value | None) -> ir.Value | None:
    """What a value is 1 times, or divided by 1, as PyTorch's beta is if it is not given."""
    node = None if value is None else value.producer()
    if node is None or node.domain or node.op_type not in ("Mul", "Div"):
        return value
    factor = array_of(node.inputs[1])
    return node.inputs[0] if factor is not None and factor.size == 1 and factor.reshape(()) == 1 else value
