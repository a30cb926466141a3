"""Read, check and write ONNX files; weights are written last, one at a time, so that memory holds no second copy.

The file is an ordinary protobuf message, whose fields may come in any order: ModelProto field 7 (graph), GraphProto
field 5 (initializer) and TensorProto field 9 (raw_data), as onnx.proto numbers them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import onnx_ir as ir

from .errors import BundleError, InternalError, first_line

# A protobuf message holds less than 2 GiB; if weights have more bytes than this in all, they go to a file beside it.
INLINE_LIMIT = 1_500_000_000

# Initializers of more bytes than this are weights; smaller ones may be shapes, which shape inference reads.
_LARGE = 4096


def read_onnx(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Read an ONNX file; with `weights=False`, without those in a file beside it.

    Raises:
        BundleError: there is no such file, or it is not an ONNX model.
    """
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Give the path of a model file or a bundle.")
    try:
        model = onnx.load(path, load_external_data=weights)
    except Exception as error:  # the class depends on which decoder protobuf has
        raise BundleError(f"{path} is not an ONNX model ({first_line(error)}). Export it again.") from error
    if not model.graph.node or not model.opset_import:
        raise BundleError(f"{path} is not an ONNX model (it has no graph). Export it again.")
    return model


def write_onnx(model: ir.Model, path: Path) -> None:
    """Check a model and write it; more weights than `INLINE_LIMIT` go to `<name>.data` beside it.

    Raises:
        InternalError: the graph is not valid ONNX.
    """
    initializers = model.graph.initializers.items()
    weights = {name: value.const_value for name, value in initializers if value.const_value and _is_large(value)}
    skeleton = _without_weights(model)
    _check(skeleton)
    if sum(weight.nbytes for weight in weights.values()) > INLINE_LIMIT:
        ir.save(model, path, external_data=f"{path.name}.data")
        return
    del skeleton.graph.input[len(model.graph.inputs) :]
    write_weights_last(skeleton, weights, path)


def _is_large(value: ir.Value) -> bool:
    """Whether an initializer is a weight, which checks and shape inference need not read."""
    return value.const_value is not None and value.const_value.nbytes > _LARGE


def _without_weights(model: ir.Model) -> onnx.ModelProto:
    """The model with its large initializers as inputs, after its own."""
    light = model.clone()
    for name, value in list(light.graph.initializers.items()):
        if _is_large(value):
            assert value.const_value is not None
            value.type, value.shape = ir.TensorType(value.const_value.dtype), ir.Shape(value.const_value.shape.numpy())
            del light.graph.initializers[name]
            value.const_value = None
            light.graph.inputs.append(value)
    return ir.to_proto(light)


def _check(proto: onnx.ModelProto) -> None:
    """Run the full checker and strict shape inference.

    Raises:
        InternalError: the graph is not valid ONNX.
    """
    try:
        onnx.checker.check_model(proto, full_check=True)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise InternalError(f"The exported graph is not valid ONNX ({first_line(error)}).") from error


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and, depth first, the graphs inside its nodes: bodies of loops and branches."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_graphs(attribute.g)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of `all_graphs`."""
    for inner in all_graphs(graph):
        yield from inner.node


def constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The tensors in the Constant nodes of one graph, where other exporters keep weights; a `value_float` is none."""
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                yield attribute.t


_GRAPH = 7
_INITIALIZER = 5
_RAW_DATA = 9
_LENGTH_DELIMITED = 2


def write_weights_last(skeleton: onnx.ModelProto, weights: Mapping[str, ir.TensorProtocol], path: Path) -> None:
    """Write a model whose graph lacks these initializers, given by name, and then the initializers."""
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
    """A TensorProto up to its data, named after the initializer, since the tensor may have another name."""
    dims = weight.shape.numpy()
    proto = onnx.TensorProto(dims=dims, data_type=int(weight.dtype), name=name)
    return bytes(proto.SerializeToString(deterministic=True)) + _prefix(_RAW_DATA, weight.nbytes)


def _prefix(field: int, length: int) -> bytes:
    """The key and the length before a field's bytes."""
    return _varint(field << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    """A base-128 varint: seven bits a byte, the lowest first, the top bit set in all but the last byte."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
