"""Keeping recurrence whole: while active, PyTorch's recurrent functions become the operators of this package.

`nn.RNN`, `nn.GRU` and `nn.LSTM` end in `torch.rnn_tanh`, `rnn_relu`, `gru` or `lstm`. Intercepting these, rather than
the modules, leaves all that the modules do around them (unbatched input, `batch_first`, checks, subclasses) as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import CaptureError
from .operators import lstm, recurrent

_KINDS = {torch.rnn_tanh: "rnn_tanh", torch.rnn_relu: "rnn_relu", torch.gru: "gru", torch.lstm: "lstm"}


class WholeRecurrence(TorchFunctionMode):
    """Context manager; it patches nothing, and ends with its `with` block also on an error."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kind = _KINDS.get(func)
        if kind is None:
            return func(*args, **(kwargs or {}))
        return _call(kind, *args, **(kwargs or {}))


def _call(
    kind: str,
    x: Tensor,
    hx: Tensor | Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> tuple[Tensor, ...]:
    if not isinstance(has_biases, bool):
        # The overload for packed sequences has one argument more: the batch sizes, second.
        raise CaptureError(
            "The model runs packed sequences through a recurrent layer, which cannot be exported yet. "
            "Run the padded sequence through it instead."
        )
    weights = list(params)
    steps = x.transpose(0, 1) if batch_first else x
    outputs: tuple[Tensor, ...]
    if kind == "lstm":
        h0, c0 = hx
        if h0.shape[-1] != weights[1].shape[0] // 4:
            raise CaptureError(
                "The model has an nn.LSTM with proj_size, which cannot be exported yet. "
                "Use proj_size=0 and an nn.Linear after it."
            )
        outputs = lstm(steps, h0, c0, weights, has_biases, num_layers, bidirectional)
    else:
        outputs = recurrent(kind, steps, hx, weights, has_biases, num_layers, bidirectional)
    y, *states = outputs
    return (y.transpose(0, 1) if batch_first else y, *states)
