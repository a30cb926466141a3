"""Drop initial states that are zero, so that nothing computes their shape at run time."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ..torch_internals.modules import TO_COPY, operator_name
from .operators import DOMAIN

_aten = torch.ops.aten
_ZEROS = {_aten.zeros.default, _aten.zeros_like.default, _aten.new_zeros.default}
_FILLED = {_aten.full.default: 1, _aten.full_like.default: 1, _aten.new_full.default: 2}

# Zero in, zero out, whatever the other arguments.
_KEEPS_ZERO = {
    _aten.expand.default,
    _aten.clone.default,
    _aten.detach.default,
    _aten.contiguous.default,
    _aten.to.dtype,
    _aten.to.dtype_layout,
    _aten.to.device,
    TO_COPY,
    _aten.view.default,
    _aten.reshape.default,
    _aten.unsqueeze.default,
    _aten.squeeze.dim,
    _aten.transpose.int,
    _aten.permute.default,
    _aten.select.int,
    _aten.index_select.default,
    _aten.slice.Tensor,
    _aten.repeat.default,
    _aten.unbind.int,
    _aten.chunk.default,
    _aten.split.Tensor,
    operator.getitem,
}

_JOINS = {_aten.cat.default, _aten.stack.default}

# Positions of the initial states among an operator's arguments.
_STATE_ARGUMENTS = {f"{DOMAIN}::recurrent": (2,), f"{DOMAIN}::lstm": (1, 2)}


def drop_zero_states(program: ExportedProgram) -> None:
    """Replace zero initial states of recurrent operators by None and remove what only they needed, in place.

    The program must be functional: a tensor that was zero when it was made must still be zero when it is used.
    """
    graph = program.graph_module.graph
    for node in graph.nodes:
        for position in _STATE_ARGUMENTS.get(operator_name(node.target), ()):
            state = node.args[position]
            if _is_zero(state):
                node.update_arg(position, None)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


def _is_zero(node: Any) -> bool:
    if not isinstance(node, Node) or node.op != "call_function":
        return False
    if node.target in _ZEROS:
        return True
    if node.target in _FILLED:
        return bool(node.args[_FILLED[node.target]] == 0)
    first: Any = node.args[0] if node.args else None
    if node.target in _JOINS:
        return all(_is_zero(part) for part in first)
    return node.target in _KEEPS_ZERO and _is_zero(first)
