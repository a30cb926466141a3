"""Read the weights in a model file by name: initializers and constants, including those in loop bodies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from ...onnx_file import all_graphs, read_onnx
from ...optimize.quantization import Quantized
from ...pytorch.archive import read_torchscript
from .candidates import scaled
from .model import as_array, is_float

Array = NDArray[Any]


def stored_weights(file: Path) -> dict[str, Array]:
    """The floating-point tensors of a TorchScript archive, or of an ONNX file without the scales of int8 weights.

    A tensor without elements, such as a list begins with, is none.

    Raises:
        BundleError: the file is neither.
    """
    found = _torchscript(file) if file.suffix == ".pt" else _onnx(file)
    return {name: array for name, array in found if is_float(array.dtype) and array.size}


def _onnx(file: Path) -> Iterator[tuple[str, Array]]:
    model = read_onnx(file)
    scales = {scale for _, scale in _scaled(model.graph)}
    for graph in all_graphs(model.graph):
        for tensor in graph.initializer:
            if tensor.name not in scales:
                yield tensor.name, numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant":
                yield from ((node.output[0], array) for array in map(_constant, node.attribute) if array is not None)


def stored_int8(file: Path) -> dict[str, Array]:
    """The int8 weights of an ONNX file times their scales, as float32 [channels, K].

    Raises:
        BundleError: the file is not ONNX.
    """
    graph = read_onnx(file).graph
    tensors = {tensor.name: tensor for inner in all_graphs(graph) for tensor in inner.initializer}
    return {
        name: scaled(Quantized(numpy_helper.to_array(tensors[name]), numpy_helper.to_array(tensors[scale])))
        for name, scale in _scaled(graph)
        if name in tensors and scale in tensors
    }


def _scaled(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Pairs of names in the graph: the int8 weights of a product, and the scales that its result is multiplied by."""
    for inner in all_graphs(graph):
        makers = {name: node for node in inner.node for name in node.output}
        for node in inner.node:
            if node.op_type == "DynamicQuantizeLSTM":
                yield from ((node.input[k], node.input[scale]) for k, scale in ((1, 8), (2, 10)))
            made = [makers[name] for name in node.input if name in makers]
            if node.op_type == "Mul" and [each.op_type for each in made] == ["Cast", "Mul"]:
                cast, scale = made
                product = makers.get(cast.input[0])
                if product is not None and product.op_type == "MatMulInteger":
                    yield product.input[1], scale.input[1]


def _constant(attribute: onnx.AttributeProto) -> Array | None:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.array(value, np.float32) if attribute.name in ("value_float", "value_floats") else None


def _torchscript(file: Path) -> Iterator[tuple[str, Array]]:
    module = read_torchscript(file)
    states = getattr(module, "state_buffers", ())
    begins = {*states, *(f"{name}_reset" for name in states)}
    for name, tensor in module.state_dict().items():
        if name not in begins:
            yield name, as_array(tensor)
    graph: Any = module.inlined_graph  # kept, because its nodes live no longer than it does
    for node in graph.findAllNodes("prim::Constant", recurse=True):
        value = node.output().toIValue()
        for k, part in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            if isinstance(part, Tensor) and part.dtype != torch.bool:
                yield f"%{node.output().debugName()}{f'.{k}' if k else ''}", as_array(part)
