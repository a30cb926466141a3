"""Is a model file what its manifest says: names, order, dtypes and dimensions of what goes in and out, and metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from ..errors import InterfaceError
from ..pytorch.archive import read_torchscript
from ..runtimes.onnx_check import read_checked
from ..spec.artifact import Artifact
from ..spec.dims import Dim
from ..spec.interface import Interface, Tensor, wrong_interface
from ..spec.signature import Signature
from .weights.stored import stored_int8


def check_interface(file: Path, artifact: Artifact, signature: Signature, described: Mapping[str, str]) -> None:
    """Compare a file with what is recorded about it.

    Args:
        described: the dtypes and dimensions of outputs, as far as they are known.

    Raises:
        InterfaceError: it says something else.
        BundleError: it is not a model file, or holds what is not run.
    """
    unknown = next((name for name in artifact.bounds if name not in signature.symbols), "")
    if unknown:
        raise InterfaceError(f"The manifest bounds {unknown}, which {file.name} does not have. Export the model again.")
    is_onnx = artifact.opset is not None
    wrong = _in_onnx(file, artifact, signature, described) if is_onnx else _in_archive(file, _fed(signature, artifact))
    if wrong:
        raise InterfaceError(f"{file.name} is not what its manifest says: {wrong}. Export the model again.")


def _in_onnx(file: Path, artifact: Artifact, signature: Signature, described: Mapping[str, str]) -> str:
    model = read_checked(file)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if opset != artifact.opset:
        return f"its opset is {opset}, not {artifact.opset}"
    if artifact.bound and not stored_int8(file):
        return "it has no int8 weights, which alone may be off"
    return wrong_interface(interface_of(model), signature, artifact.stream, described, artifact.added_metadata)


def interface_of(model: onnx.ModelProto) -> Interface:
    """What an ONNX file says."""
    properties = [(entry.key, entry.value) for entry in model.metadata_props]
    # Of two entries with one key a reader may take either.
    metadata = dict(properties) if len(dict(properties)) == len(properties) else {"": "an entry twice"}
    return Interface([*map(_tensor, model.graph.input)], [*map(_tensor, model.graph.output)], metadata)


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name if kind.elem_type else None
    if not kind.HasField("shape"):
        return Tensor(value.name, dtype, None)
    return Tensor(value.name, dtype, tuple(map(_dim, kind.shape.dim)))


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    return dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None


def _fed(signature: Signature, artifact: Artifact) -> Signature:
    """What is fed to an archive, which keeps the states of a stream by itself."""
    kept = () if artifact.stream is None else artifact.stream.kept
    return Signature({name: spec for name, spec in signature.inputs.items() if name not in kept})


def _in_archive(file: Path, signature: Signature) -> str:
    """An archive knows its inputs' names where they are the arguments'; arguments with defaults may follow them."""
    forward: Any = read_torchscript(file).forward
    arguments = [each.name for each in forward.schema.arguments[1:]]
    names = [*signature.inputs]
    elsewhere = any(name in names and names.index(name) != k for k, name in enumerate(arguments))
    if len(arguments) < len(names) or elsewhere:
        return f"its inputs are {', '.join(arguments) or 'none'}, not {', '.join(names)}"
    return ""
