"""Which axes an operator mixes the elements of, so that it may mix the steps of a sequence or leave them apart."""

from __future__ import annotations

import onnx_ir as ir

from .graph_stream import GraphStream
from .together import stepwise

# These are about a whole sequence, whichever way it lies.
WHOLE = (
    "ReverseSequence",
    "STFT",
    "NonZero",
    "Compress",
    "Unique",
    "Attention",
    "LinearAttention",
    "NonMaxSuppression",
)


# By operator, the axis that it works along where the node does not say.
_ALONG = {
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization", "TopK"), -1),
    **dict.fromkeys(("ArgMax", "ArgMin", "Split", "Concat", "GatherElements", "ScatterElements", "Gather", "DFT"), 0),
}

# By operator, the first of the axes that it normalizes or pools over, up to the last.
_FROM = {"InstanceNormalization": 2, "GlobalAveragePool": 2, "GlobalMaxPool": 2, "GroupNormalization": 1, "Trilu": -2}


def mixed_axes(stream: GraphStream, node: ir.Node, position: int) -> set[int]:
    """The axes of an input along which an output's element is computed from several elements."""
    rank, op_type = stream.measured.arrays(node.inputs[position])[0].ndim, node.op_type
    if op_type in ("MatMul", "Gemm"):
        return _multiplied(node, position, rank)
    if op_type in WHOLE or op_type in _FROM:
        return {*range(_FROM.get(op_type, 0) % max(rank, 1), rank)}
    if position > 0:
        return set()
    if op_type in _ALONG:
        return {node.attributes.get_int("axis", _ALONG[op_type]) % rank}
    if op_type in ("LayerNormalization", "RMSNormalization"):
        return {*range(node.attributes.get_int("axis", -1) % rank, rank)}
    return _reduced(stream, node, rank) if op_type.startswith("Reduce") else set()


def _reduced(stream: GraphStream, node: ir.Node, rank: int) -> set[int]:
    axes = [*(node.attributes.get_ints("axes", None) or [])]
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        axes = [int(axis) for axis in stream.measured.arrays(node.inputs[1])[0]]
    if not axes and node.attributes.get_int("noop_with_empty_axes", 0) == 0:
        return {*range(rank)}
    return {axis % rank for axis in axes}


def _multiplied(node: ir.Node, position: int, rank: int) -> set[int]:
    """The axis that is summed over, and the other one of the second factor, which lies across the first's steps."""
    if node.op_type == "Gemm":
        summed = 1 - node.attributes.get_int("transA", 0) if position == 0 else node.attributes.get_int("transB", 0)
        return {summed} if position == 0 else ({0, 1} if position == 1 else set())
    return {rank - 1} if position == 0 else {max(rank - 2, 0)}


def by_axis(stream: GraphStream, node: ir.Node) -> None:
    """An operator that leaves steps apart, unless it works along the time."""
    for position, value in enumerate(node.inputs):
        flow = stream.sequence_of(value)
        if flow is not None and flow.axis in mixed_axes(stream, node, position):
            stream.mixed(node)
            return
    stepwise(stream, node, broadcast=node.op_type not in ("Gemm", "Gather", "MatMul", "Einsum"))
