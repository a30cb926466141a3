"""Copies of an ONNX file whose weights are moved by about as much as rounding moves the sums that they are part of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from ..onnx_file import all_graphs, constants, read_onnx

# One for a whole layer of a recurrent operator is [directions, gates * H, I]: a sum has as many terms as it is long.
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)


def write_moved(path: Path, folder: Path, seeds: Sequence[int]) -> list[Path]:
    """A copy of the file for each seed, with weights of its own, in the folder."""
    files = []
    for seed in seeds:
        model, rng = read_onnx(path), np.random.default_rng(seed)
        for tensor in _weights(model.graph):
            tensor.CopyFrom(_moved(tensor, rng))
        files.append(folder / f"moved{seed}.onnx")
        onnx.save(model, files[-1], save_as_external_data=model.ByteSize() > 2**30)
    return files


def _weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Float tensors of at least two dimensions, as initializers and in nodes; others may be scales, sizes or limits."""
    for inner in all_graphs(graph):
        held = (*inner.initializer, *constants(inner))
        yield from (tensor for tensor in held if tensor.data_type in _FLOATS and len(tensor.dims) > 1)


def _moved(tensor: onnx.TensorProto, rng: np.random.Generator) -> onnx.TensorProto:
    array = numpy_helper.to_array(tensor)
    largest = 0.5 * sqrt(array.shape[-1]) * float(np.finfo(array.dtype).eps)
    noise = rng.uniform(-largest, largest, array.shape)
    return numpy_helper.from_array((array * (1 + noise)).astype(array.dtype), tensor.name)
