"""A model whose recurrent layers keep their last state from call to call, where forward gives them none at first."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn

from ...spec.streams import cannot_stream
from .places import copied

Final = Tensor | tuple[Tensor, Tensor]


def with_kept_layers(model: nn.Module, besides: Collection[str] = ()) -> nn.Module:
    """A copy of the model whose `nn.RNN`, `nn.GRU` and `nn.LSTM` keep `h`, and `c`, as None before the first call.

    Args:
        besides: the paths of layers that are left as they are.

    Raises:
        CaptureError: such a layer reads its sequence from the end.
    """
    kept = copied(model)
    for path, layer in kept.named_modules():
        if not isinstance(layer, nn.RNNBase) or path in besides:
            continue
        if layer.bidirectional:
            raise cannot_stream(
                f"layer '{path or type(layer).__name__}' is bidirectional, so it starts at the end of the sequence. "
                "Use forward layers only."
            )
        layer.h, layer.c = None, None
        layer.__class__ = type(type(layer).__name__, (_Keeping, type(layer)), {})
    return kept


class _Keeping(nn.RNNBase):
    """Put before the class of a layer."""

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, final = super().forward(input, self._begin if hx is None else hx)
        if hx is None:
            self.h, self.c = final if isinstance(final, tuple) else (final, None)
        return output, final

    @property
    def _begin(self) -> Final | None:
        return self.h if self.c is None else (self.h, self.c)
