"""Private part of PyTorch that sees every tensor made: a model that is built from numbers of others has a bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# What a tensor counts for at least, so that a billion small ones are too many as well.
_LEAST = 2**14
_BYTES = 8


class TooLargeError(MemoryError):
    """More was to be made than is allowed."""


class Bounded(TorchDispatchMode):
    """Within the block tensors of so many bytes may be made, all together.

    Raises:
        TooLargeError: before the tensor is made that is too much.
    """

    def __init__(self, allowed: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._left = allowed

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        sizes = _made(func, args)
        if sizes is not None:
            self._left -= max(prod(sizes) * _BYTES, _LEAST)
            if self._left < 0:
                raise TooLargeError
        return func(*args, **(kwargs or {}))


def _made(func: Callable[..., Any], args: Sequence[Any]) -> Sequence[int] | None:
    """The sizes of a new tensor, where an operator makes one; None where it makes none, or a view."""
    schema = func._schema  # type: ignore[attr-defined]
    if any(result.alias_info is not None for result in schema.returns):
        return None
    for given, argument in zip(args, schema.arguments, strict=False):
        if argument.name == "size" and isinstance(given, (list, tuple)):
            return given
    return None
