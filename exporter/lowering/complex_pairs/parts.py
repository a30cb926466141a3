"""Operators that do the same to the real and to the imaginary part: those that move elements, and sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node

from ...capture.control_flow.operators import carry, choose, collect, final, leave
from .writer import REAL_DTYPES, Pair, Writer

_aten = torch.ops.aten

# Each with the positions of its arguments that hold elements; what stands elsewhere is a condition, an index or a size.
_FIRST = (0,)
ELEMENTS: Mapping[Any, Sequence[int]] = {
    **dict.fromkeys(
        (
            *(_aten.alias, _aten.clone, _aten.contiguous, _aten.detach, _aten.lift_fresh_copy, _aten.resolve_conj),
            *(_aten.view, _aten.reshape, _aten._unsafe_view, _aten.flatten, _aten.unflatten, _aten.squeeze),
            *(
                _aten.unsqueeze,
                _aten.expand,
                _aten.permute,
                _aten.transpose,
                _aten.t,
                _aten.numpy_T,
                _aten.mT,
                _aten.select,
                _aten.slice,
            ),
            *(_aten.split, _aten.split_with_sizes, _aten.unbind, _aten.chunk, _aten.flip, _aten.roll, _aten.repeat),
            *(_aten.gather, _aten.index_select, _aten.index, _aten.unfold, _aten.diagonal, _aten.diag_embed),
            *(_aten.tril, _aten.triu, _aten.as_strided, _aten.narrow, _aten.movedim, _aten.resolve_neg),
            *(_aten.neg, _aten._neg_view, _aten.sum, _aten.mean, _aten.cumsum, _aten.repeat_interleave),
        ),
        _FIRST,
    ),
    **dict.fromkeys((_aten.cat, _aten.stack), _FIRST),
    _aten.where: (1, 2),
    _aten.masked_fill: (0, 2),
    _aten.constant_pad_nd: (0, 2),
    _aten.pad: (0, 3),
    _aten.index_put: (0, 2),
    _aten.select_scatter: (0, 1),
    _aten.slice_scatter: (0, 1),
    _aten.copy: (0, 1),
    _aten.index_add: (0, 3),
    _aten.scatter: (0, 3),
    _aten.scatter_add: (0, 3),
    **dict.fromkeys((carry.overloadpacket, leave.overloadpacket, collect.overloadpacket), _FIRST),
    final.overloadpacket: (0, 1),
    choose.overloadpacket: (1, 2),
}


def by_parts(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    """The operator on each part; an argument that is real has an imaginary part of zeros."""
    positions = ELEMENTS[node.target.overloadpacket]  # type: ignore[union-attr]
    dtype = REAL_DTYPES[_first(node.meta["val"]).dtype]
    named = {key: REAL_DTYPES.get(value, value) for key, value in kwargs.items()}
    pairs = [pair_of(writer, arg, dtype) if i in positions else Pair(arg, arg) for i, arg in enumerate(args)]
    # Some of them would ask for the sizes if they ran.
    value = writer.real_like(node.meta["val"])
    parts = (tuple(getattr(pair, part) for pair in pairs) for part in ("real", "imag"))
    return Pair(*(writer.node(node.target, part, named, value) for part in parts))


def pair_of(writer: Writer, value: Any, dtype: torch.dtype) -> Pair:
    """The parts of a tensor, a number or a list of tensors, in this dtype; those of a real tensor are it and zeros."""
    if isinstance(value, (list, tuple)):
        pairs = [pair_of(writer, each, dtype) for each in value]
        return Pair([pair.real for pair in pairs], [pair.imag for pair in pairs])
    if isinstance(value, Pair):
        return Pair(writer.cast(value.real, dtype), writer.cast(value.imag, dtype))
    if isinstance(value, Node):
        real = writer.cast(value, dtype)
        return Pair(real, writer.call(_aten.zeros_like.default, real))
    return Pair(complex(value).real, complex(value).imag)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) else value
