"""Drop the sorting by length that PyTorch's packed sequences need and the operators of this package do not.

`pack_padded_sequence(enforce_sorted=False)` sorts the batch and puts the results back in order; many models do so by
hand. No operator in between depends on the order of a batch, so both can go.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ..torch_internals.modules import ASSERT_TENSOR_METADATA, TO_COPY

Arguments = tuple[Any, ...]
_aten, _ours = torch.ops.aten, torch.ops.rnn_export

_SAME = {
    _aten.clone.default,
    _aten.detach.default,
    _aten.to.dtype,
    _aten.to.device,
    _aten.to.dtype_layout,
    TO_COPY,
}

_SORTS = (_aten.sort.default, _aten.sort.stable, _aten.argsort.default)
_SHAPE_ONLY = {_aten.sym_size.int, ASSERT_TENSOR_METADATA}

# In place of the batch dimension of packed data [P, *], which has none but whose rows follow the batch's order.
_ROWS = -1

# The batch dimension of each argument and of each result, by position.

_TAKES: Mapping[Any, Mapping[int, int]] = {
    _ours.pack.default: {0: 1, 1: 0},
    _ours.pad.default: {0: _ROWS, 1: 0},
    _ours.recurrent.default: {1: _ROWS, 2: 1, 7: 0},
    _ours.lstm.default: {0: _ROWS, 1: 1, 2: 1, 7: 0},
}

# The batch sizes, the second result of `pack`, are the same in any order.
_GIVES: Mapping[Any, Mapping[int, int]] = {
    _ours.pack.default: {0: _ROWS},
    _ours.recurrent.default: {0: _ROWS, 1: 1},
    _ours.lstm.default: {0: _ROWS, 1: 1, 2: 1},
}


def drop_sorting(program: ExportedProgram) -> None:
    """Where a batch is sorted, run through recurrent layers and put back in order, run it unsorted; in place.

    Nothing changes where any other operator sees the sorted batch. The program must be functional.
    """
    graph = program.graph_module.graph
    for target in _SORTS:
        for sort in graph.find_nodes(op="call_function", target=target):
            order = sort if target is _aten.argsort.default else _item(sort, 1)
            if order is not None and order.meta["val"].dim() == 1:
                _Sorting(sort, order).drop()
    graph.eliminate_dead_code()
    program.graph_module.recompile()


class _Sorting:
    """A sort of the batch: the selections that apply its order, and those that undo it."""

    def __init__(self, sort: Node, order: Node) -> None:
        self._sort = sort
        # `sort` returns the sorted lengths beside the order; `argsort` does not.
        self._lengths = _item(sort, 0)
        self._sorts = _selections(order)
        inverses = [inverse for user in order.users if (inverse := _inverse(user, order)) is not None]
        self._restores = {node: dim for inverse in inverses for node, dim in _selections(inverse).items()}

    def drop(self) -> None:
        """Use the lengths and every input unsorted, where nothing sees the difference."""
        found = self._sorted_values()
        for value in found:
            for user in [user for user in value.users if user in self._restores]:
                # A selection is contiguous, which a later view may need.
                user.target, user.args = _aten.clone.default, (value,)
                user.kwargs = {"memory_format": torch.contiguous_format}
        for value in found:
            if value is self._lengths or value in self._sorts:
                arguments: Arguments = self._sort.args if value is self._lengths else value.args
                value.replace_all_uses_with(arguments[0])

    def _sorted_values(self) -> dict[Node, int]:
        """Every value in sorted order with its batch dimension; none if another operator sees one."""
        found = {**self._sorts, **({} if self._lengths is None else {self._lengths: 0})}
        waiting = list(found)
        while waiting:
            value = waiting.pop()
            for user in value.users:
                following = self._following(user, value, found[value])
                if following is None:
                    return {}
                waiting += [node for node in following if node not in found]
                found |= following
        return found if all(_takes_sorted(user, found) for value in found for user in value.users) else {}

    def _following(self, user: Node, value: Node, dim: int) -> dict[Node, int] | None:
        """The results of an operator on a sorted value that are sorted too; None where that is not known."""
        if user.target in _SHAPE_ONLY or self._restores.get(user) == dim:
            return {}
        if user.target in _SAME:
            return {user: dim}
        if user.target is _aten.transpose.int:
            arguments: Arguments = user.args
            axes = [axis % value.meta["val"].dim() for axis in arguments[1:]]
            return {user: axes[1 - axes.index(dim)] if dim in axes else dim}
        if user.target is _ours.pad.default:
            return {user: 1}
        gives = _GIVES.get(user.target)
        return None if gives is None else {item: at for index, at in gives.items() if (item := _item(user, index))}


def _takes_sorted(user: Node, found: Mapping[Node, int]) -> bool:
    """Whether all arguments of an operator that have a batch dimension are sorted along it."""
    arguments: Arguments = user.args
    taken = [(arguments[at], dim) for at, dim in _TAKES.get(user.target, {}).items()]
    return all(given is None or found.get(given) == dim for given, dim in taken)


def _selections(index: Node) -> dict[Node, int]:
    """The nodes that reorder a whole dimension by `index`, and that dimension."""
    found = {}
    for user in index.users:
        arguments: Arguments = user.args
        dim = None
        if user.target is _aten.index_select.default and arguments[2] is index:
            dim = arguments[1] % user.meta["val"].dim()
        if user.target is _aten.index.Tensor and arguments[1][-1] is index and not any(arguments[1][:-1]):
            dim = len(arguments[1]) - 1
        # Comparing the symbols themselves would add an assumption; equal sizes have equal names.
        if dim is not None and str(arguments[0].meta["val"].shape[dim]) == str(index.meta["val"].shape[0]):
            found[user] = dim
    return found


def _inverse(user: Node, order: Node) -> Node | None:
    """The inverse permutation, if a node computes it from `order`: by sorting it, or by scattering 0, 1, 2..."""
    if user.target is _aten.argsort.default and not any(user.args[1:]):
        return user
    if user.target is _aten.sort.default and not any(user.args[1:]):
        return _item(user, 1)
    if user.target is _aten.scatter.src and user.args[2] is order and _is_iota(user.args[3]):
        return user
    return None


def _is_iota(node: Any) -> bool:
    """Whether a node is 0, 1, 2 and so on."""
    from_zero = node.target is _aten.arange.start and node.args[0] == 0
    return from_zero or node.target is _aten.arange.default


def _item(node: Node, index: int) -> Node | None:
    """One of several results of a node; None where nothing uses it."""
    return next((user for user in node.users if user.target is operator.getitem and user.args[1] == index), None)
