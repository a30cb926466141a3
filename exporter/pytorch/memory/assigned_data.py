"""`self.h.data = value` within a graph, which PyTorch does not see there: the tensor is written to instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_ASSIGN = Tensor.data.__set__  # type: ignore[attr-defined]


class AssignedData(TorchFunctionMode):
    """Within the block a tensor takes what is assigned to its `data`, if that has its shape and dtype."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func == _ASSIGN and args[0].dim() == args[1].dim() and args[0].dtype == args[1].dtype:
            return args[0].detach().copy_(args[1])
        return func(*args, **(kwargs or {}))
