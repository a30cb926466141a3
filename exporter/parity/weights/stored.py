"""The floating-point tensors that a model file holds, by name: initializers and constants, also those inside loops."""

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
from ...runtimes.torchscript import read_torchscript
from .tensors import as_array, is_float

Array = NDArray[Any]


def stored_weights(file: Path) -> dict[str, Array]:
    """The tensors of an ONNX file, or of a TorchScript archive.

    Raises:
        BundleError: it is neither.
    """
    found = _torchscript(file) if file.suffix == ".pt" else _onnx(file)
    return {name: array for name, array in found if is_float(array.dtype)}


def _onnx(file: Path) -> Iterator[tuple[str, Array]]:
    for graph in all_graphs(read_onnx(file).graph):
        for tensor in graph.initializer:
            yield tensor.name, numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant":
                yield from ((node.output[0], array) for array in map(_constant, node.attribute) if array is not None)


def _constant(attribute: onnx.AttributeProto) -> Array | None:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.array(value, np.float32) if attribute.name in ("value_float", "value_floats") else None


def _torchscript(file: Path) -> Iterator[tuple[str, Array]]:
    module = read_torchscript(file)
    for name, tensor in module.state_dict().items():
        yield name, as_array(tensor)
    graph: Any = module.inlined_graph  # whose nodes live no longer than it does
    for node in graph.findAllNodes("prim::Constant", recurse=True):
        value = node.output().toIValue()
        for k, part in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            if isinstance(part, Tensor) and part.dtype != torch.bool:
                yield f"%{node.output().debugName()}{f'.{k}' if k else ''}", as_array(part)
