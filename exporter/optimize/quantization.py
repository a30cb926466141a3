"""Quantize weights to int8, one scale per output channel, and their inputs dynamically. Works in place.

An LSTM becomes ONNX Runtime's `com.microsoft.DynamicQuantizeLSTM`. A product with constant weights, in the graph or in
a loop's body, becomes the standard operators `DynamicQuantizeLinear` and `MatMulInteger`, which ONNX Runtime fuses to
one kernel. Everything else, biases and states too, stays float32.

Sources: ONNX operator specification, DynamicQuantizeLinear-11 and MatMulInteger-10; ONNX Runtime, ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

from ..errors import InternalError
from ..onnx_file import read_onnx
from .graph import Array, constant_like

MICROSOFT = "com.microsoft"

# Symmetric: ONNX Runtime's kernels for signed weights are twice as fast as those for unsigned ones (AVX512-VNNI).
LARGEST = 127

# A channel whose weights are all smaller is rounded to zero: its scale would be denormal, or zero.
LEAST = float(np.finfo(np.float32).tiny) * LARGEST


@dataclass(frozen=True)
class Original:
    """The weights float32 [..., K, M] that an int8 tensor stands for, and the name of the tensor of its scales."""

    weights: Array
    scales: str


@dataclass(frozen=True)
class Quantized:
    """Weights int8 [..., K, M] and the scales float32 [..., M] that they are multiplied by."""

    values: Array
    scales: Array


def quantize_channels(weights: Array) -> Quantized:
    """Round weights [..., K, M] to int8: in each of the M channels the largest magnitude is 127, and zero is 0."""
    largest = np.abs(weights.astype(np.float32)).max(axis=-2)
    scales = np.where(largest > LEAST, largest / np.float32(LARGEST), np.float32(1)).astype(np.float32)
    values = np.clip(np.rint(weights.astype(np.float32) / scales[..., None, :]), -LARGEST, LARGEST).astype(np.int8)
    return Quantized(values, scales)


def quantize_weights(model: ir.Model) -> dict[str, Original]:
    """Quantize every LSTM and every product with constant float32 weights.

    Returns the weights that were quantized, by the name of their int8 tensor.
    """
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    done: dict[str, Original] = {}
    for node in nodes:
        rewrite = {"LSTM": _lstm, "MatMul": _product, "Gemm": _product}.get(node.op_type)
        if rewrite is not None and node.domain == "":
            done |= rewrite(model.graph, node)
    for name, value in list(model.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del model.graph.initializers[name]
    return done


def _lstm(graph: ir.Graph, node: ir.Node) -> dict[str, Original]:
    weights = [_constant(node.inputs[k]) for k in (1, 2)]
    if any(array is None for array in weights):
        return {}
    done: dict[str, Original] = {}
    inputs = [*node.inputs, *[None] * (8 - len(node.inputs))]
    for k, array in zip((1, 2), weights, strict=True):
        assert array is not None
        # ONNX's LSTM has [D, 4*H, K]; this operator has the channels last.
        name = str(node.inputs[k].name)  # type: ignore[union-attr]
        inputs[k], scales, original = _quantized(graph, name, np.ascontiguousarray(array.transpose(0, 2, 1)))
        done |= original
        zeros = np.zeros((array.shape[0], array.shape[1]), np.int8)
        inputs += [scales, constant_like(graph, f"{name}.zero", zeros)]
    taken = ir.Node(
        MICROSOFT,
        "DynamicQuantizeLSTM",
        inputs,
        [attribute for attribute in node.attributes.values() if attribute.name != "layout"],
        num_outputs=len(node.outputs),
        name=node.name,
    )
    ir.convenience.replace_nodes_and_values(_graph_of(node), node, [node], [taken], node.outputs, taken.outputs)
    graph.opset_imports[MICROSOFT] = 1
    return done


def _product(graph: ir.Graph, node: ir.Node) -> dict[str, Original]:
    """x [..., K] by constant weights [K, M]."""
    weights = _constant(node.inputs[1])
    x = node.inputs[0]
    scaled = any(node.attributes.get_float(name, 1.0) != 1.0 for name in ("alpha", "beta"))
    if weights is None or weights.ndim != 2 or x is None or scaled or node.attributes.get_int("transA", 0) == 1:
        return {}
    name = str(node.inputs[1].name)  # type: ignore[union-attr]
    transposed = bool(node.attributes.get_int("transB", 0))
    values, scales, done = _quantized(graph, name, np.ascontiguousarray(weights.T if transposed else weights))
    step = ir.tape.Tape()
    rounded, scale, zero = step.op_multi_out("DynamicQuantizeLinear", [x], num_outputs=3)
    summed = step.op("MatMulInteger", [rounded, values, zero])
    result = step.op("Mul", [step.op("Cast", [summed], {"to": ir.DataType.FLOAT}), step.op("Mul", [scale, scales])])
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        result = step.op("Add", [result, node.inputs[2]])
    prefix = node.name or name
    for k, inner in enumerate(step.nodes):
        inner.name = f"{prefix}.int8_{k}"
        for j, value in enumerate(inner.outputs):
            value.name = f"{node.outputs[0].name}.int8_{k}_{j}"
    ir.convenience.replace_nodes_and_values(_graph_of(node), node, [node], step.nodes, node.outputs, [result])
    return done


def _quantized(graph: ir.Graph, name: str, weights: Array) -> tuple[ir.Value, ir.Value, dict[str, Original]]:
    """Initializers of the int8 weights and of their scales, and the original of the first by its name."""
    quantized = quantize_channels(weights)
    values = constant_like(graph, f"{name}.int8", quantized.values)
    scales = constant_like(graph, f"{name}.scale", quantized.scales)
    return values, scales, {str(values.name): Original(weights, str(scales.name))}


def _graph_of(node: ir.Node) -> ir.Graph:
    assert isinstance(node.graph, ir.Graph)
    return node.graph


def _constant(value: ir.Value | None) -> Array | None:
    """The content of a float32 initializer."""
    tensor = None if value is None else value.const_value
    return tensor.numpy() if tensor is not None and tensor.dtype == ir.DataType.FLOAT else None


# Division, rounding and multiplication in float32 may each be off by half an ulp.
_ROUNDING = 1 + 1e-4


def check_weights(path: Path, originals: Mapping[str, Original]) -> None:
    """Compare the int8 tensors of an ONNX file with the weights that they stand for, by name.

    Raises:
        InternalError: a channel differs by more than rounding.
    """
    if not originals:
        return
    tensors = {tensor.name: tensor for tensor in read_onnx(path).graph.initializer}
    for name, original in originals.items():
        values, scales = (numpy_helper.to_array(tensors[each]) for each in (name, original.scales))
        wrong = wrong_channels(original.weights, values, scales)
        if wrong.any():
            raise InternalError(f"'{name}' is not the model's weight in {wrong.sum()} of {wrong.size} channels.")


def wrong_channels(
    weights: NDArray[np.generic], values: NDArray[np.generic], scales: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Which of the M channels of int8 values [..., K, M] with scales [..., M] are not the weights [..., K, M]."""
    if (
        values.dtype != np.int8
        or values.shape != weights.shape
        or scales.shape != weights.shape[:-2] + weights.shape[-1:]
    ):
        return np.ones(weights.shape[-1], np.bool_)
    exact, steps = weights.astype(np.float64), scales.astype(np.float64)
    largest = np.abs(exact).max(axis=-2)
    off = np.abs(values.astype(np.float64) * steps[..., None, :] - exact).max(axis=-2)
    coarse = (largest > LEAST) & (steps > largest / LARGEST * _ROUNDING)
    return np.asarray((off > steps / 2 * _ROUNDING) | coarse)
