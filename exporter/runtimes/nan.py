"""Kernels that treat NaN differently from PyTorch, by runtime. Tests fail when one of these is fixed.

Most turn NaN into a number or pass over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from onnx import GraphProto, TensorProto

from ..onnx_file import all_nodes

_PASS_OVER = ("ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "TopK", "Max", "Min")
_CLAMP = ("Relu", "Clip", "HardSigmoid", "Celu", "RNN with Relu")

# By runtime, as `operator_kinds` names operators.
#
# ONNX Runtime 1.32, on the CPU: found by the parity run. The recurrent kernels clamp NaN to a number inside, the others
# pass over it. Its RNN with tanh, and what Scan and Loop bodies are made of, pass NaN on.
#
# onnx 1.23, OpenVINO 2026.4 and tract 0.23: found by running 34 functions with a NaN in each of twelve places. PyTorch
# makes 0 of NaN's sign, which the graph does itself.
HIDES_NAN: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "onnxruntime": ("GRU", "LSTM", "RNN with Relu", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "MaxPool"),
        "onnx.reference": ("MaxPool",),
        "openvino": (*_CLAMP, *_PASS_OVER, "MaxPool", "Exp", "Softmax", "LogSoftmax", "ReduceLogSumExp"),
        "tract": ("Tanh", "Sigmoid", "GRU", "LSTM", "RNN with Tanh", *_CLAMP, *_PASS_OVER),
    }
)

# Of other execution providers of ONNX Runtime, beside those: found by `make test-openvino-ep`.
_HIDES_NAN_ON = {"OpenVINOExecutionProvider": ("Relu",)}

# WGSL lets a driver assume that there is neither NaN nor infinity (W3C, WebGPU Shading Language, floating point
# evaluation). On SwiftShader Relu, Sigmoid, Exp, Clip, Softmax, TopK and the above hide NaN; on a GPU it may be others.
_MAY_HIDE_NAN = {"WebGpuExecutionProvider": "WebGPU"}

# These quantize a whole batch by one scale, which a single NaN or infinity spoils.
_SPREADS_NAN = ("DynamicQuantizeLSTM", "DynamicQuantizeLinear")
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)


def nan_kernel(graph: GraphProto, hiding: Sequence[str]) -> tuple[str, bool]:
    """The first operator of a graph that spreads NaN or is among `hiding`, and whether it spreads it; empty if none."""
    kinds = operator_kinds(graph)
    known = next((kind for kind in (*_SPREADS_NAN, *hiding) if kind in kinds), "")
    return known, known in _SPREADS_NAN


def nan_kernel_on(graph: GraphProto, provider: str) -> tuple[str, bool]:
    """`nan_kernel` for an execution provider of ONNX Runtime; one that may hide NaN in any kernel is named itself."""
    known, spreads = nan_kernel(graph, (*HIDES_NAN["onnxruntime"], *_HIDES_NAN_ON.get(provider, ())))
    return _MAY_HIDE_NAN.get(provider, known), spreads


def operator_kinds(graph: GraphProto) -> set[str]:
    """The operators in a graph and in the bodies in it; "RNN with Relu" and "RNN with Tanh" are two.

    Operators on integers, such as the largest of the lengths, are left out, for they meet no NaN.
    """
    integers = {
        value.name for value in (*graph.input, *graph.value_info) if value.type.tensor_type.elem_type in _INTEGERS
    }
    kinds = set()
    for node in all_nodes(graph):
        if node.input and node.input[0] in integers:
            continue
        activations = [
            text.decode()
            for attribute in node.attribute
            if attribute.name == "activations"
            for text in attribute.strings
        ]
        kinds.add(f"RNN with {activations[0] if activations else 'Tanh'}" if node.op_type == "RNN" else node.op_type)
    return kinds
