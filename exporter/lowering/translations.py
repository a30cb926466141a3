"""PyTorch's table of translations to ONNX: built once, and without those that round the numbers of a float64 model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.onnx._internal.exporter._registration import ONNXRegistry

_NAME = "from_torchlib"
_BUILD = ONNXRegistry.from_torchlib

# Their numbers become attributes, which ONNX has in float32 alone (alpha, epsilon, bounds). Without a translation they
# are decomposed into sums and products, whose numbers are tensors.
_ROUNDING = (
    "addmm",
    "celu",
    "elu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "layer_norm",
    "leaky_relu",
    "native_layer_norm",
    "selu",
    "softplus",
)


@contextmanager
def translations_for(program: ExportedProgram) -> Iterator[None]:
    """Within the block PyTorch translates with the table for this program; restored afterwards."""
    original = ONNXRegistry.__dict__[_NAME]
    left_out = {f"aten::{name}" for name in _ROUNDING} if _is_float64(program) else set()

    def from_torchlib(cls: type[ONNXRegistry], opset_version: int) -> ONNXRegistry:
        registry = cls()
        registry._opset_version = opset_version
        table = _table(opset_version).items()
        registry.functions = {op: list(found) for op, found in table if str(op).partition(".")[0] not in left_out}
        return registry

    setattr(ONNXRegistry, _NAME, classmethod(from_torchlib))
    try:
        yield
    finally:
        setattr(ONNXRegistry, _NAME, original)


@cache
def _table(opset: int) -> Mapping[Any, Sequence[Any]]:
    return _BUILD(opset_version=opset).functions


def _is_float64(program: ExportedProgram) -> bool:
    values = (node.meta.get("val") for node in program.graph.nodes)
    return any(isinstance(value, torch.Tensor) and value.dtype == torch.float64 for value in values)
