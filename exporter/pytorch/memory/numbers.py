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
    "__iadd__": operator.add,
    "__isub__": operator.sub,
    "__imul__": operator.mul,
    "__ifloordiv__": operator.floordiv,
    "__itruediv__": operator.truediv,
    "__idiv__": operator.truediv,
    "__imod__": operator.mod,
    "__ipow__": operator.pow,
    "__iand__": operator.and_,
    "__ior__": operator.or_,
    "__ixor__": operator.xor,
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
