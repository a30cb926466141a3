"""Find the whole numbers in a model file: the ends of its slices, the rows of its tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from ..onnx_file import all_graphs, constants, read_onnx
from ..pytorch.archive import read_torchscript
from ..torch_internals.random_operators import graph_nodes

# A constant of more elements is a table, of which the size alone counts.
_FEW = 8
_INTEGERS = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)


def file_numbers(file: Path) -> list[int]:
    """The whole numbers from 2 on that are constants of a file, in increasing order, without their signs.

    Raises:
        BundleError: the file is no model.
    """
    found = _torchscript(file) if file.suffix == ".pt" else _onnx(file)
    return sorted({abs(number) for number in found if abs(number) > 1})


def _onnx(file: Path) -> Iterator[int]:
    for graph in all_graphs(read_onnx(file, weights=False).graph):
        for tensor in (*graph.initializer, *constants(graph)):
            few = not tensor.dims or (max(tensor.dims) <= _FEW and len(tensor.dims) == 1)
            if few and tensor.data_type in _INTEGERS:
                yield from numpy_helper.to_array(tensor).reshape(-1).tolist()
            elif len(tensor.dims) > 1:
                yield tensor.dims[0]


def _torchscript(file: Path) -> Iterator[int]:
    graph = read_torchscript(file).inlined_graph  # kept, because its nodes live no longer than it does
    for node in graph_nodes(graph):
        value = node.output().toIValue() if node.kind() == "prim::Constant" else None
        if isinstance(value, int) and not isinstance(value, bool):
            yield value
        elif isinstance(value, torch.Tensor) and value.dim() > 1:
            yield value.shape[0]
