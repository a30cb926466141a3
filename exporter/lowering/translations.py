"""PyTorch's table of translations to ONNX: built once, and without those that lose digits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from onnxscript import opset18 as op
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.onnx._internal.exporter._registration import ONNXRegistry

_NAME = "from_torchlib"
_BUILD = ONNXRegistry.from_torchlib

# Their numbers become attributes, which ONNX has in float32 alone (alpha, epsilon, bounds), or are rounded. Without a
# translation they are decomposed into sums and products, whose numbers are tensors; normalisations are spelled out.
_ROUNDING = {
    "aten::_native_batch_norm_legit_no_training",
    "aten::addcdiv",
    "aten::addcmul",
    "aten::addmm",
    "aten::addmv",
    "aten::celu",
    "aten::elu",
    "aten::hardsigmoid",
    "aten::hardswish",
    "aten::hardtanh",
    "aten::layer_norm",
    "aten::leaky_relu",
    "aten::native_layer_norm",
    "aten::selu",
    "aten::softplus",
}

# Translated as log(sigmoid(x)), which is -infinity where the decomposition still has digits.
_OVERFLOWING = {"aten::log_sigmoid", "aten::log_sigmoid_forward"}


@contextmanager
def translations_for(program: ExportedProgram) -> Iterator[None]:
    """Within the block PyTorch translates with the table for this program; restored afterwards."""
    original = ONNXRegistry.__dict__[_NAME]
    left_out = _OVERFLOWING | _ROUNDING if _rounds(program) else _OVERFLOWING

    def from_torchlib(cls: type[ONNXRegistry], opset_version: int) -> ONNXRegistry:
        registry = cls()
        registry._opset_version = opset_version
        table = _table(opset_version).items()
        registry.functions = {name: list(found) for name, found in table if str(name).partition(".")[0] not in left_out}
        if left_out & _ROUNDING:
            registry.register_op(torch.ops.aten._native_batch_norm_legit_no_training.default, _batch_norm)
            registry.register_op(torch.ops.aten.layer_norm.default, _layer_norm)
        return registry

    setattr(ONNXRegistry, _NAME, classmethod(from_torchlib))
    try:
        yield
    finally:
        setattr(ONNXRegistry, _NAME, original)


@cache
def _table(opset: int) -> Mapping[Any, Sequence[Any]]:
    return _BUILD(opset_version=opset).functions


def _batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, _momentum: float, eps: Any
) -> tuple[Any, Any, Any]:
    """Of x [N, C, *], and two outputs for training alone. PyTorch's exporter takes no decomposition of it.

    Source: ONNX operator specification, BatchNormalization-15, in inference mode.
    """
    channels: Any = op.Constant(value_ints=[-1, *[1] * (len(x.shape) - 2)])
    scale = op.Sqrt(op.Add(var, op.CastLike(eps, var)))
    y = op.Div(op.Sub(x, op.Reshape(mean, channels)), op.Reshape(scale, channels))
    weight, bias = (each if each is None else op.Reshape(each, channels) for each in (weight, bias))
    return _affine(y, weight, bias), op.Identity(mean), op.Identity(var)


def _layer_norm(
    x: Any, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: Any = 1e-5, _cudnn: bool = True
) -> Any:
    """Of x [..., *normalized_shape]; PyTorch's decomposition of it is many times as long.

    Source: ONNX operator specification, LayerNormalization-17.
    """
    axes: Any = op.Constant(value_ints=[*range(-len(normalized_shape), 0)])
    centred: Any = op.Sub(x, op.ReduceMean(x, axes))
    variance: Any = op.ReduceMean(op.Mul(centred, centred), axes)
    return _affine(op.Div(centred, op.Sqrt(op.Add(variance, op.CastLike(eps, x)))), weight, bias)


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    scaled = y if weight is None else op.Mul(y, weight)
    return scaled if bias is None else op.Add(scaled, bias)


def _rounds(program: ExportedProgram) -> bool:
    """Whether an operator of those computes in float64."""
    graphs = [module.graph for module in program.graph_module.modules() if isinstance(module, GraphModule)]
    names = _ROUNDING | {"aten::batch_norm"}  # which is decomposed into the one that is translated
    return any(_plain_name(node.target) in names and _is_float64(node) for graph in graphs for node in graph.nodes)


def _plain_name(target: Any) -> str:
    return target.name().partition(".")[0] if isinstance(target, OpOverload) else ""


def _is_float64(node: Node) -> bool:
    values = node.meta.get("val")
    return any(
        isinstance(value, torch.Tensor) and value.dtype == torch.float64
        for value in (values if isinstance(values, tuple | list) else [values])
    )
