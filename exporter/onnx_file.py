"""Reading and writing ONNX files, with what a damaged file gets said of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from .errors import BundleError, CaptureError, first_line

# What the keys of a model's metadata_props begin with: rnn_export.version, .inputs, .outputs, .states.
METADATA_PREFIX = "rnn_export"

# A protobuf message holds less than 2 GiB; weights beyond this many bytes go to a file beside it.
INLINE_LIMIT = 1_500_000_000


def read_onnx(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Read an ONNX file; without `weights`, those that lie in a file beside it are not read.

    Raises:
        BundleError: the file is not there, or is not an ONNX model.
    """
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Give the path of a model file or a bundle.")
    try:
        model = onnx.load(path, load_external_data=weights)
    except Exception as error:  # protobuf's decoder raises a class that depends on its implementation
        raise BundleError(f"{path} is not an ONNX model ({first_line(error)}). Export it again.") from error
    if not model.graph.node or not model.opset_import:
        raise BundleError(f"{path} is not an ONNX model (it has no graph). Export it again.")
    return model


def write_onnx(model: ir.Model, path: Path) -> None:
    """Write a model and check it; large weights go to `<name>.data` beside it.

    Raises:
        CaptureError: the graph is not valid ONNX.
    """
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    external = f"{path.name}.data" if size > INLINE_LIMIT else None
    ir.save(model, path, external_data=external)
    check_onnx(path)


def check_onnx(path: Path) -> None:
    """The full checker and strict shape inference, on the file.

    Raises:
        CaptureError: the graph is not valid ONNX.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
        graph = onnx.load(path, load_external_data=False)
        onnx.shape_inference.infer_shapes(graph, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CaptureError(f"The exported graph is not valid ONNX ({first_line(error)}). Report this.") from error


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
