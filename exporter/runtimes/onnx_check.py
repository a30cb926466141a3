"""What an ONNX file may hold: known operators, and weights of its own or in the one file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import onnx

from ..errors import BundleError
from ..onnx_file import all_graphs, read_onnx

_STANDARD = ("", "ai.onnx", "ai.onnx.ml")

# Of ONNX Runtime's own operators those that compute: others of that domain load files or run code.
_MICROSOFT = """
    CausalConvWithState DynamicQuantizeLSTM DynamicQuantizeMatMul FusedConv FusedGemm FusedMatMul Gelu LinearAttention
    MatMulIntegerToFloat QuickGelu
"""


def read_checked(path: Path) -> onnx.ModelProto:
    """Read an ONNX file without the weights beside it, and check what it holds.

    Raises:
        BundleError: it is not an ONNX file, has operators that are not known, or weights elsewhere than beside it.
    """
    model = read_onnx(path, weights=False)
    if model.functions:
        raise BundleError(f"{path} defines operators of its own, which are not run. Export it again.")
    for graph in all_graphs(model.graph):
        for node in graph.node:
            known = node.domain in _STANDARD or (node.domain == "com.microsoft" and node.op_type in _MICROSOFT.split())
            if not known:
                raise BundleError(
                    f"{path} has the operator {node.domain}.{node.op_type}, which is not known to compute alone, and "
                    "is not run. Export it again."
                )
    for tensor in _tensors(model.graph):
        _check_place(path, tensor)
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for inner in all_graphs(graph):
        yield from inner.initializer
        for sparse in inner.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in inner.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                yield attribute.t
                for sparse in [*attribute.sparse_tensors, attribute.sparse_tensor]:
                    yield from (sparse.values, sparse.indices)


def external_file(path: Path) -> Path:
    """Where the weights lie that do not fit into a file: beside it, so that a bundle lists and hashes them."""
    return path.with_name(f"{path.name}.data")


def _check_place(path: Path, tensor: onnx.TensorProto) -> None:
    """Check that a tensor's numbers are in the file, or all of them in the one beside it."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        if tensor.external_data:
            raise BundleError(f"{path} says of '{tensor.name}' both that it is in the file and that it is not.")
        return
    entries = {entry.key: entry.value for entry in tensor.external_data}
    beside = external_file(path)
    if entries.get("location") != beside.name:
        raise BundleError(
            f"{path} has the weight '{tensor.name}' in {entries.get('location', 'no file')!r}, and not in "
            f"{beside.name} beside it, so that nobody knows what it is. Export it again."
        )
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", _size(tensor)))
        fits = offset >= 0 and length == _size(tensor) and offset + length <= beside.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise BundleError(f"{beside} does not hold the weight '{tensor.name}' of {path.name}. Export it again.")


def _size(tensor: onnx.TensorProto) -> int:
    return int(prod(tensor.dims)) * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
