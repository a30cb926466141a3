"""The values of what is computed from parameters and buffers alone: these are known while a model is captured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...torch_internals.modules import operator_name, share_memory, tree_leaves, tree_map
from ...torch_internals.symbols import without_capture
from .numbers import is_symbolic
from .operators import MARKS
from .region import writes


class Constants(TorchFunctionMode):
    """Remembers how each tensor was made from known ones, and computes its value when it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        # By identity: the tensor, which is kept so that no other takes its place, and what gives its value.
        self._known: dict[int, tuple[Tensor, Callable[[], Any]]] = {}

    def add(self, tensor: Tensor, value: Tensor) -> None:
        self._known[id(tensor)] = (tensor, lambda: value)

    def value(self, tensor: Tensor) -> Any:
        """What a tensor holds, as a number or nested lists of them; None if it depends on an input."""
        known = self._known.get(id(tensor))
        if known is None:
            return None
        with without_capture():
            return known[1]().tolist()

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
        elif isinstance(result, Tensor):
            self._note(func, args, kwargs, result)
        return result

    def _forget(self, written: Tensor) -> None:
        """What shares the memory of a tensor that was written to is no longer what it was."""
        for key in [key for key, (tensor, _) in self._known.items() if share_memory(tensor, written)]:
            del self._known[key]

    def _note(self, func: Callable[..., Any], args: Any, kwargs: Any, result: Tensor) -> None:
        leaves = tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if any(map(is_symbolic, leaves)):  # a size is an input's
            return
        # What a loop carries is another value in every step, whatever it begins with.
        is_mark = operator_name(func) in MARKS
        if is_mark or not tensors or any(id(tensor) not in self._known for tensor in tensors):
            return
        thunks = {id(tensor): self._known[id(tensor)][1] for tensor in tensors}

        def compute() -> Any:
            given = tree_map(lambda leaf: thunks[id(leaf)]() if isinstance(leaf, Tensor) else leaf, (args, kwargs))
            return func(*given[0], **given[1])

        self._known[id(result)] = (result, compute)
