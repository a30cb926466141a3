"""An ONNX file written with its large weights last, one at a time, so that no second copy of all of them is in memory.

The file is an ordinary protobuf message: the encoding is that of ModelProto field 7 (graph), GraphProto field 5
(initializer) and TensorProto field 9 (raw_data), in onnx.proto; protobuf's fields may stand in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx_ir as ir

_GRAPH = 7
_INITIALIZER = 5
_RAW_DATA = 9
_LENGTH_DELIMITED = 2


def write_weights_last(skeleton: onnx.ModelProto, weights: Mapping[str, ir.TensorProtocol], path: Path) -> None:
    """Write a model whose graph lacks these initializers, by name, and after it the initializers."""
    headers = [_header(name, weight) for name, weight in weights.items()]
    graph = skeleton.graph.SerializeToString(deterministic=True)
    rest = onnx.ModelProto()
    rest.CopyFrom(skeleton)
    rest.ClearField("graph")
    sizes = [len(header) + weight.nbytes for header, weight in zip(headers, weights.values(), strict=True)]
    length = len(graph) + sum(len(_prefix(_INITIALIZER, size)) + size for size in sizes)
    with path.open("wb") as file:
        file.write(rest.SerializeToString(deterministic=True) + _prefix(_GRAPH, length) + graph)
        for header, weight, size in zip(headers, weights.values(), sizes, strict=True):
            file.write(_prefix(_INITIALIZER, size) + header)
            file.write(weight.tobytes())


def _header(name: str, weight: ir.TensorProtocol) -> bytes:
    """A TensorProto up to and without its data; the tensor may have another name than the initializer."""
    dims = weight.shape.numpy()
    proto = onnx.TensorProto(dims=dims, data_type=int(weight.dtype), name=name)
    return bytes(proto.SerializeToString(deterministic=True)) + _prefix(_RAW_DATA, weight.nbytes)


def _prefix(field: int, length: int) -> bytes:
    """The key and the length that stand before a field's bytes."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    """Seven bits to a byte, the lowest first, the top bit set in all but the last."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
