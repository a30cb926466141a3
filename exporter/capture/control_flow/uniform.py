"""Tensors whose elements are all alike, such as a mask of ones: what is asked of them is known whatever their sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...torch_internals.modules import tree_leaves, tree_map
from ...torch_internals.symbols import expression, is_product_of_sizes, without_capture
from .numbers import is_symbolic

# What makes such a tensor, and the element; of the others it is an argument.
_MADE = {"ones": 1, "zeros": 0, "ones_like": 1, "zeros_like": 0, "new_ones": 1, "new_zeros": 0}
_FILLED = {"full": 1, "full_like": 1, "new_full": 2}

# What leaves the elements as they are, and only moves, repeats or drops some.
_MOVES = {
    *("view", "reshape", "unsqueeze", "squeeze", "expand", "expand_as", "transpose", "permute", "flatten", "unflatten"),
    *("contiguous", "clone", "detach", "cpu", "repeat", "flip", "t", "movedim", "swapaxes", "select", "narrow"),
    "__getitem__",
}
# What computes each element from those at the same place alone.
_EACH = {
    *("to", "type", "bool", "float", "double", "half", "int", "long", "type_as", "masked_fill", "where", "neg", "abs"),
    *("eq", "ne", "lt", "le", "gt", "ge", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__neg__"),
    *("logical_not", "logical_and", "logical_or", "logical_xor", "bitwise_not", "bitwise_and", "bitwise_or"),
    *("__invert__", "__and__", "__or__", "__xor__", "add", "sub", "mul", "rsub", "__add__", "__radd__", "__sub__"),
    *("__rsub__", "__mul__", "__rmul__"),
}


class Uniform:
    """Remembers such tensors, each with one element of it."""

    def __init__(self) -> None:
        # By identity: the tensor, which is kept so that no other takes its place, and a tensor without dimensions.
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def element(self, tensor: Tensor) -> Tensor | None:
        known = self._known.get(id(tensor))
        return None if known is None else known[1]

    def forget(self, is_written: Callable[[Tensor], bool]) -> None:
        for key in [key for key, (tensor, _) in self._known.items() if is_written(tensor)]:
            del self._known[key]

    def note(self, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], result: Tensor) -> None:
        """See whether a function has made such a tensor."""
        name, leaves = getattr(func, "__name__", ""), tree_leaves((args, kwargs))
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        is_made = name in _MADE or name in _FILLED
        if not is_made and (not given or any(id(tensor) not in self._known for tensor in given)):
            return
        with without_capture():
            element = _made(name, args, kwargs, result) if is_made else self._followed(func, args, kwargs, result)
        if element is not None:
            self._known[id(result)] = (result, element)

    def _followed(
        self, func: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], result: Tensor
    ) -> Tensor | None:
        """The element of what a function computes of such tensors alone."""
        name, leaves = getattr(func, "__name__", ""), tree_leaves((args, kwargs))
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        element = self._known[id(given[0])][1]
        if name in _MOVES and len(given) == 1:
            return element.to(result.dtype)
        if name in ("all", "any"):
            # Of no elements at all `all` is true and `any` is false.
            is_said_of_none = bool(element != 0) == (name == "all")
            return (element != 0).to(result.dtype) if is_said_of_none or _has_elements(given[0]) else None
        if name not in _EACH or any(map(is_symbolic, leaves)):
            return None
        of = tree_map(lambda leaf: self._known[id(leaf)][1] if isinstance(leaf, Tensor) else leaf, (args, kwargs))
        made: Tensor = func(*of[0], **of[1])
        return made


def _made(name: str, args: Any, kwargs: Mapping[str, Any], result: Tensor) -> Tensor | None:
    filled = _MADE.get(name)
    if filled is None:
        at = _FILLED[name]
        filled = kwargs.get("fill_value", args[at] if len(args) > at else None)
    is_known = isinstance(filled, (bool, int, float)) and not is_symbolic(filled)
    return torch.full((), filled, dtype=result.dtype) if is_known else None


def _has_elements(tensor: Tensor) -> bool:
    return all(size > 0 if isinstance(size, int) else is_product_of_sizes(expression(size)) for size in tensor.shape)
