"""The signature that an ONNX file declares, as far as it says enough to draw inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import InputError
from ..onnx_file import read_onnx
from ..spec.signature import Signature, TensorSpec

_NO_NAME = re.compile(r"\W+")


def signature_of(
    path: Path, given: Mapping[str, str], example: Mapping[str, NDArray[np.generic]] | None = None
) -> Signature:
    """The inputs of a file; what is `given` of one, such as `int64[N, T] in 0..27`, comes before what it declares.

    Raises:
        InputError: an input has dimensions without a name, or integers of which nothing says which are valid.
        SignatureError: what is given does not describe a tensor.
    """
    graph = read_onnx(path, weights=False).graph
    held = {tensor.name for tensor in graph.initializer}
    declared = {value.name: value for value in graph.input if value.name not in held}
    unknown = [name for name in (*given, *(example or ())) if name not in declared]
    if unknown:
        raise InputError(f"{path.name} has no input '{unknown[0]}'. It has {', '.join(declared)}.")
    inputs = {
        name: TensorSpec.parse(given[name]) if name in given else _spec(path, value, is_shown=name in (example or {}))
        for name, value in declared.items()
    }
    return Signature(inputs)


def _spec(path: Path, value: onnx.ValueInfoProto, *, is_shown: bool) -> TensorSpec:
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name)
    dims = [_dim(dim) for dim in value.type.tensor_type.shape.dim]
    if "" in dims:
        raise InputError(
            f"{path.name} does not name every size of '{value.name}'. Give its sizes, such as "
            f"--input '{value.name}: {dtype}[{', '.join(dim or 'N' for dim in dims)}]'."
        )
    if dtype.startswith("int") and not is_shown:
        raise InputError(
            f"{path.name} does not say which integers '{value.name}' takes. Give a range, such as "
            f"--input '{value.name}: {dtype}[{', '.join(dims)}] in 0..27', or real inputs with --example."
        )
    return TensorSpec.parse(f"{dtype}[{', '.join(dims)}]")


def _dim(dim: onnx.TensorShapeProto.Dimension) -> str:
    """A number, or a name as a signature has them; empty where the file has neither."""
    return str(dim.dim_value) if dim.HasField("dim_value") else _NO_NAME.sub("_", dim.dim_param)
