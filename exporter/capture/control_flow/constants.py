"""The values of what is computed from parameters, buffers, literals and uniform tensors: known during a capture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...torch_internals.modules import operator_name, share_memory, tree_leaves, tree_map
from ...torch_internals.symbols import without_capture
from .numbers import is_symbolic
from .operators import MARKS
from .region import writes
from .uniform import Uniform

# They make a tensor of their arguments alone; `x.new_*` takes no more of x than its dtype.
_MADE = {"tensor", "as_tensor", "scalar_tensor", "arange", "linspace", "logspace", "zeros", "ones", "full", "eye"}
_MADE_LIKE = {"new_tensor", "new_zeros", "new_ones", "new_full"}


class Constants(TorchFunctionMode):
    """Remembers how each tensor was made from known ones, and computes its value when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        # By identity: the tensor, which is kept so that no other takes its place, and what gives its value.
        self._known: dict[int, tuple[Tensor, Callable[[], Any]]] = {}
        self._uniform = Uniform()

    def add(self, tensor: Tensor, value: Tensor) -> None:
        self._known[id(tensor)] = (tensor, lambda: value)

    def value(self, tensor: Tensor) -> Any:
        """What a tensor holds, as a number or nested lists of them; None if it depends on an input."""
        known = self._known.get(id(tensor))
        with without_capture():
            if known is not None:
                return known[1]().tolist()
            element = self._uniform.element(tensor) if tensor.dim() == 0 else None
            return None if element is None else element.tolist()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if writes(getattr(func, "__name__", "")) and args and isinstance(args[0], Tensor):
            self._forget(args[0])
        elif isinstance(kwargs.get("out"), Tensor):
            self._forget(kwargs["out"])
        else:
            self._note(func, args, kwargs, [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)])
            if isinstance(result, Tensor):
                self._uniform.note(func, args, kwargs, result)
        return result

    def _forget(self, written: Tensor) -> None:
        """What shares the memory of a tensor that was written to is no longer what it was."""
        for key in [key for key, (tensor, _) in self._known.items() if share_memory(tensor, written)]:
            del self._known[key]
        self._uniform.forget(lambda tensor: share_memory(tensor, written))

    def _note(self, func: Callable[..., Any], args: Any, kwargs: Any, results: Sequence[Tensor]) -> None:
        leaves = tree_leaves((args, kwargs))
        if any(map(is_symbolic, leaves)):  # a size is an input's
            return
        name = operator_name(func) or getattr(func, "__name__", "")
        thunks = self._thunks(name, [leaf for leaf in leaves if isinstance(leaf, Tensor)])
        if thunks is None:
            return

        @cache
        def compute() -> list[Any]:
            given = tree_map(lambda leaf: thunks[id(leaf)]() if isinstance(leaf, Tensor) else leaf, (args, kwargs))
            return [leaf for leaf in tree_leaves(func(*given[0], **given[1])) if isinstance(leaf, Tensor)]

        def of(k: int) -> Callable[[], Any]:
            return lambda: compute()[k]

        self._known.update({id(result): (result, of(k)) for k, result in enumerate(results)})

    def _thunks(self, name: str, tensors: Sequence[Tensor]) -> dict[int, Callable[[], Any]] | None:
        """What gives the values of an operator's tensors, by identity; None if they or the operator's are not known."""
        # What a loop carries is another value in every step, whatever it begins with.
        if name in MARKS or (not tensors and name not in _MADE):
            return None
        if name in _MADE_LIKE and len(tensors) == 1:
            dtype = tensors[0].dtype
            return {id(tensors[0]): lambda: torch.empty((), dtype=dtype)}
        if any(id(tensor) not in self._known for tensor in tensors):
            return None
        return {id(tensor): self._known[id(tensor)][1] for tensor in tensors}
