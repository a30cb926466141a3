"""Write out in a captured program what PyTorch's type promotion does: casts, and the logic that bool arithmetic is.

    1.0 - mask                   1.0 - float(mask)
    stack([count, x > 0])        stack([count, int64(x > 0)])
    flag + other                 flag or other
    step % x.size(0)             step % tensor(x.size(0))
    arange(0, 6.0)               arange(0, 6.0, dtype=float32)

PyTorch's exporter promotes most operators itself, and refuses or mistakes the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import SymFloat, SymInt, Tensor
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule, Node
from torch.fx.node import map_arg

from ..torch_internals.modules import TO_COPY, tensor_overload

_aten = torch.ops.aten

# They compute in the dtype of their result; a condition comes first in `where`.
_IN_RESULT = {
    *(_aten.add, _aten.sub, _aten.rsub, _aten.mul, _aten.div, _aten.floor_divide, _aten.remainder, _aten.fmod),
    *(_aten.maximum, _aten.minimum, _aten.fmax, _aten.fmin, _aten.pow, _aten.atan2, _aten.hypot, _aten.copysign),
    *(_aten.clamp, _aten.lerp, _aten.addcmul, _aten.addcdiv, _aten.logaddexp, _aten.cat, _aten.stack, _aten.where),
}
_COMPARISONS = {_aten.eq, _aten.ne, _aten.lt, _aten.le, _aten.gt, _aten.ge}
_LOGIC: Mapping[Any, Any] = {
    **dict.fromkeys((_aten.add, _aten.maximum, _aten.fmax), _aten.logical_or.default),
    **dict.fromkeys((_aten.mul, _aten.minimum, _aten.fmin), _aten.logical_and.default),
}
_POWER: Mapping[Any, Any] = {_aten.pow.Tensor_Scalar: _aten.pow.Tensor_Tensor}


def promote_types(program: ExportedProgram) -> None:
    """Insert the casts in place, in loops and branches too."""
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in list(module.graph.nodes):
                _promote(module.graph, node)
            module.recompile()


def _promote(graph: Graph, node: Node) -> None:
    packet, result = getattr(node.target, "overloadpacket", None), node.meta.get("val")
    if not isinstance(result, Tensor):
        return
    with graph.inserting_before(node):
        if packet in _LOGIC and result.dtype == torch.bool and _are_tensors(node):
            node.target, node.args = _LOGIC[packet], node.args[:2]
            node.kwargs = {}
        elif packet is _aten.arange:
            node.kwargs = {**node.kwargs, "dtype": result.dtype}
        elif packet in _COMPARISONS:
            _take_numbers_as_tensors(graph, node)
            first, second = (_value(arg) for arg in node.args)
            _cast(graph, node, torch.result_type(first, second))
        elif packet in _IN_RESULT:
            _take_numbers_as_tensors(graph, node)
            _cast(graph, node, result.dtype)


def _cast(graph: Graph, node: Node, dtype: torch.dtype) -> None:
    def cast(arg: Node) -> Node:
        value = arg.meta.get("val")
        if not isinstance(value, Tensor) or value.dtype == dtype:
            return arg
        return _with_value(graph.call_function(TO_COPY, (arg,), {"dtype": dtype}), node)

    kept = int(node.target.overloadpacket is _aten.where)  # type: ignore[union-attr]
    node.args = (*node.args[:kept], *map_arg(node.args[kept:], cast))


def _take_numbers_as_tensors(graph: Graph, node: Node) -> None:
    """A size or a number computed of sizes as a tensor of no dimensions, which counts as little in promotion."""
    target = _POWER.get(node.target, tensor_overload(node.target))
    if target is node.target or not any(isinstance(_value(arg), (SymInt, SymFloat)) for arg in node.args[1:2]):
        return
    number = node.args[1]
    dtype = torch.int64 if isinstance(_value(number), SymInt) else torch.get_default_dtype()
    tensor = graph.call_function(_aten.scalar_tensor.default, (number,), {"dtype": dtype})
    node.target, node.args = target, (node.args[0], _with_value(tensor, node), *node.args[2:])


def _with_value(added: Node, node: Node) -> Node:
    """A node that stands before another one, with its value and its line."""
    added.meta.update({key: node.meta[key] for key in ("stack_trace", "nn_module_stack") if key in node.meta})
    fake_mode = node.meta["val"].fake_mode
    args, kwargs = map_arg((added.args, added.kwargs), lambda used: used.meta["val"])
    with fake_mode:
        added.meta["val"] = added.target(*args, **kwargs)  # type: ignore[operator]
    return added


def _value(arg: Any) -> Any:
    return arg.meta["val"] if isinstance(arg, Node) else arg


def _are_tensors(node: Node) -> bool:
    return all(isinstance(_value(arg), Tensor) for arg in node.args[:2])
