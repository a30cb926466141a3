"""Python numbers that a model keeps, as tensors of one element: `self.steps += 1` makes another and changes none."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...torch_internals.modules import tree_leaves

DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}

_IN_PLACE: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("add_", "__iadd__"), operator.add),
    **dict.fromkeys(("sub_", "__isub__"), operator.sub),
    **dict.fromkeys(("mul_", "__imul__"), operator.mul),
    **dict.fromkeys(("floor_divide_", "__ifloordiv__"), operator.floordiv),
    **dict.fromkeys(("div_", "__itruediv__", "__idiv__"), operator.truediv),
    **dict.fromkeys(("remainder_", "__imod__"), operator.mod),
    **dict.fromkeys(("pow_", "__ipow__"), operator.pow),
    **dict.fromkeys(("__iand__", "bitwise_and_"), operator.and_),
    **dict.fromkeys(("__ior__", "bitwise_or_"), operator.or_),
    **dict.fromkeys(("__ixor__", "bitwise_xor_"), operator.xor),
}


class Numbers(TorchFunctionMode):
    """Within the block these tensors, and those computed from them alone, are never written in place."""

    def __init__(self, numbers: Iterable[Tensor]) -> None:
        super().__init__()
        self._known = {id(number): number for number in numbers}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _IN_PLACE and args and id(args[0]) in self._known:
            func = _IN_PLACE[name]
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        if isinstance(result, Tensor) and tensors and all(id(tensor) in self._known for tensor in tensors):
            self._known[id(result)] = result
        return result
