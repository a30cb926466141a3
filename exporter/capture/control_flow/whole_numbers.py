"""The numbers in tensors of one whole number: what is computed from one is the same expression of its number.

`data[offset : offset + size]`, where both are such tensors, has `size` rows, which PyTorch would not see: it takes each
tensor that a number is read from for a number of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import SymInt, Tensor
from torch.overrides import TorchFunctionMode

from ...torch_internals.modules import is_view
from ...torch_internals.symbols import expression
from .numbers import as_number
from .region import writes

_COMPUTED: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__", "add_"), operator.add),
    **dict.fromkeys(("sub", "__sub__", "__isub__", "sub_"), operator.sub),
    **dict.fromkeys(("__rsub__", "rsub"), lambda a, b: b - a),
    **dict.fromkeys(("neg", "__neg__"), operator.neg),
    **dict.fromkeys(("clone", "scalar_tensor", "squeeze", "long", "cpu", "detach"), lambda a: a),
}

Recipe = Callable[[], Any]


class WholeNumbers(TorchFunctionMode):
    """Remembers how each tensor of one whole number was computed, and reads its number where it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        # By identity: the tensor, which is kept so that no other takes its place, and what gives its number.
        self._known: dict[int, tuple[Tensor, Recipe]] = {}
        # By the identity of a tensor and the place in it: one element is one number, however often it is read.
        self._elements: dict[tuple[int, str], tuple[Tensor, Recipe]] = {}

    def note(self, tensor: Tensor, number: Any) -> None:
        """Say what number is in a tensor."""
        self._known[id(tensor)] = (tensor, lambda: number)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is learned within the block is forgotten after it."""
        before = dict(self._known), dict(self._elements)
        try:
            yield
        finally:
            self._known, self._elements = before

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        first = args[0] if args else None
        if name == "item" and _is_whole_number(first):
            return self._recipe(first)()
        given: tuple[Recipe, ...] = ()
        if name in _COMPUTED and all(map(_is_number, args)) and (not kwargs or name == "scalar_tensor"):
            given = tuple(self._recipe(arg) for arg in args)
        for written in (first if writes(name) else None, kwargs.get("out")):
            if isinstance(written, Tensor):
                self._forget(written)
        result = func(*args, **kwargs)
        if not _is_whole_number(result):
            return result
        if given:
            self._known[id(result)] = (result, _once(lambda: _COMPUTED[name](*(recipe() for recipe in given))))
        elif name in ("__getitem__", "select") and isinstance(first, Tensor) and first.dim() == 1:
            self._known[id(result)] = (result, self._element(first, args[-1], result))
        return result

    def _recipe(self, value: Any) -> Recipe:
        if not isinstance(value, Tensor):
            return lambda: value
        if id(value) not in self._known:
            kept = value.clone()
            self._known[id(value)] = (value, _once(lambda: as_number(kept)))
        return self._known[id(value)][1]

    def _element(self, tensor: Tensor, place: Any, element: Tensor) -> Recipe:
        kept = element.clone()
        if not isinstance(place, (int, SymInt)):
            return _once(lambda: as_number(kept))
        key = (id(tensor), str(expression(place)))
        if key not in self._elements:
            self._elements[key] = (tensor, _once(lambda: as_number(kept)))
        return self._elements[key][1]

    def _forget(self, written: Tensor) -> None:
        """Forget what was in a tensor that is about to be another, and in all that may share its memory."""
        if written.dim() == 0 and not is_view(written):
            self._known.pop(id(written), None)
        elif not written.is_floating_point():
            self._known.clear()
            self._elements.clear()


def _once(compute: Recipe) -> Recipe:
    made: list[Any] = []

    def recall() -> Any:
        if not made:
            made.append(compute())
        return made[0]

    return recall


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 0 and value.dtype in (torch.int64, torch.int32)


def _is_number(value: Any) -> bool:
    return _is_whole_number(value) or (isinstance(value, (int, SymInt)) and not isinstance(value, bool))
