"""Say which operator mixes which steps, and at which line of the user's source."""

from __future__ import annotations

import onnx_ir as ir

from ...pytorch.source_lines import at
from ..user_places import line_of

# What PyTorch's operators do to the steps, by the ONNX operators that they became.
_DOES = {
    "ReduceMean": "takes a mean over {time}",
    "ReduceSum": "sums over {time}",
    "ReduceMax": "takes the maximum over {time}",
    "ReduceMin": "takes the minimum over {time}",
    "ReduceL2": "takes a norm over {time}",
    "Softmax": "takes a softmax over {time}",
    "LogSoftmax": "takes a softmax over {time}",
    "ArgMax": "looks for the largest over {time}",
    "ArgMin": "looks for the smallest over {time}",
    "TopK": "sorts over {time}",
    "LayerNormalization": "normalizes over {time}",
    "InstanceNormalization": "normalizes over {time}",
    "GroupNormalization": "normalizes over {time}",
    "GlobalAveragePool": "takes a mean over {time}",
    "GlobalMaxPool": "takes the maximum over {time}",
    "ReverseSequence": "turns the sequence round",
    "Resize": "resizes the sequence as a whole",
    "MatMul": "multiplies every step by every other, as attention does",
    "Gemm": "multiplies every step by every other, as attention does",
    "Einsum": "multiplies every step by every other, as attention does",
}


def mixes(node: ir.Node, time: str, why: str = "") -> str:
    """A clause: `ReduceMean at model.py:12 takes a mean over T`."""
    does = why or _DOES.get(node.op_type, "mixes steps along {time}")
    return f"{node.op_type}{at(line_of(node))} {does.format(time=time)}"
