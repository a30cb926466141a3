"""The signature that an ONNX file declares, as far as it says enough to draw inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import InputError
from ..onnx_file import read_onnx
from ..spec.added_metadata import PREFIX
from ..spec.signature import Signature, TensorSpec
from ..spec.streams import StateEntry, numbers

_NO_NAME = re.compile(r"\W+")


def signature_of(
    path: Path, given: Mapping[str, str], example: Mapping[str, NDArray[np.generic]] | None = None
) -> Signature:
    """The inputs of a file; what is `given` of one, such as `int64[N, T] in 0..27`, comes before what it declares.

    Raises:
        InputError: an input has dimensions without a name, or integers of which nothing says which are valid.
        SignatureError: what is given does not describe a tensor.
    """
    model = read_onnx(path, weights=False)
    graph, begins = model.graph, _begins(model)
    held = {tensor.name for tensor in graph.initializer}
    declared = {value.name: value for value in graph.input if value.name not in held}
    unknown = [name for name in (*given, *(example or ())) if name not in declared]
    if unknown:
        raise InputError(f"{path.name} has no input '{unknown[0]}'. It has {', '.join(declared)}.")
    inputs = {
        name: TensorSpec.parse(given[name])
        if name in given
        else _spec(path, value, begins.get(name, ""), is_shown=name in (example or {}))
        for name, value in declared.items()
    }
    return Signature(inputs)


def _begins(model: onnx.ModelProto) -> dict[str, str]:
    """For each state that a file of this package names, the range of what a stream begins with."""
    found = {each.key: each.value for each in model.metadata_props}.get(f"{PREFIX}.states")
    if found is None:
        return {}
    try:
        entries = msgspec.json.decode(found, type=dict[str, StateEntry])
    except msgspec.MsgspecError:  # another program's, or changed by one: then it says nothing
        return {}
    resets = {name: np.atleast_1d(numbers(entry.reset)) for name, entry in entries.items()}
    return {name: f" in {values.min():.0f}..{values.max():.0f}" for name, values in resets.items()}


def _spec(path: Path, value: onnx.ValueInfoProto, begins: str, *, is_shown: bool) -> TensorSpec:
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name)
    dims = [_dim(dim) for dim in value.type.tensor_type.shape.dim]
    if "" in dims:
        raise InputError(
            f"{path.name} does not name every size of '{value.name}'. Give its sizes, such as "
            f"--input '{value.name}: {dtype}[{', '.join(dim or 'N' for dim in dims)}]'."
        )
    if dtype.startswith("int") and begins:
        return TensorSpec.parse(f"{dtype}[{', '.join(dims)}]{begins}")
    if dtype.startswith("int") and not is_shown:
        raise InputError(
            f"{path.name} does not say which integers '{value.name}' takes. Give a range, such as "
            f"--input '{value.name}: {dtype}[{', '.join(dims)}] in 0..27', or real inputs with --example."
        )
    return TensorSpec.parse(f"{dtype}[{', '.join(dims)}]")


def _dim(dim: onnx.TensorShapeProto.Dimension) -> str:
    """A number, or a name as a signature has them; empty where the file has neither."""
    return str(dim.dim_value) if dim.HasField("dim_value") else _NO_NAME.sub("_", dim.dim_param)
