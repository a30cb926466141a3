"""Which of a model's tensors are still as a random generator drew them, so that nobody takes them for trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..torch_internals.modules import TorchDispatchMode, tree_leaves

# What these write does not depend on their first argument's numbers.
_OVERWRITING = ("copy_", "fill_", "zero_", "set_")
_SHAPED_AS = ("_like", "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided")


class DrawnTensors(TorchDispatchMode):
    """Follows, while a model is built, which memory holds numbers that were drawn or computed from drawn ones."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._drawn: dict[int, bool] = {}

    def of(self, module: nn.Module) -> Sequence[str]:
        """The names of its parameters that hold drawn numbers."""
        return [name for name, tensor in module.named_parameters() if self._drawn.get(_address(tensor), False)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        read = args[1:] if name in _OVERWRITING or name.endswith(_SHAPED_AS) else (args, kwargs)
        drawn = torch.Tag.nondeterministic_seeded in func.tags or any(
            self._drawn.get(_address(each), False) for each in tree_leaves(read) if isinstance(each, Tensor)
        )
        result = func(*args, **kwargs)
        for each in tree_leaves(result):
            if isinstance(each, Tensor) and (address := _address(each)):
                self._drawn[address] = drawn
        return result


def _address(tensor: Tensor) -> int:
    """Where its memory begins; views share it. 0 for a tensor that has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0
