"""Which operators a graph holds, of which a runtime's kernels may treat NaN otherwise than PyTorch."""

from __future__ import annotations

from collections.abc import Sequence

from onnx import GraphProto, TensorProto

from ..onnx_file import all_nodes

# These quantize a whole batch by one scale, which a single NaN or infinity spoils.
_SPREADS_NAN = ("DynamicQuantizeLSTM", "DynamicQuantizeLinear")
_WHOLE = (TensorProto.INT32, TensorProto.INT64)


def operator_kinds(graph: GraphProto) -> set[str]:
    """The operators in a graph, those in loop bodies too; "RNN with Relu" and "RNN with Tanh" are told apart.

    What is done to whole numbers, such as the largest of the lengths, is left out: it meets no NaN.
    """
    whole = {value.name for value in (*graph.input, *graph.value_info) if value.type.tensor_type.elem_type in _WHOLE}
    kinds = set()
    for node in all_nodes(graph):
        if node.input and node.input[0] in whole:
            continue
        activations = [
            text.decode()
            for attribute in node.attribute
            if attribute.name == "activations"
            for text in attribute.strings
        ]
        kinds.add(f"RNN with {activations[0] if activations else 'Tanh'}" if node.op_type == "RNN" else node.op_type)
    return kinds


def treats_nan_otherwise(kinds: set[str], hiding: Sequence[str]) -> tuple[str, bool]:
    """The first of the operators that spread NaN or hide it, and whether it is one that spreads it."""
    known = next((kind for kind in (*_SPREADS_NAN, *hiding) if kind in kinds), "")
    return known, known in _SPREADS_NAN
