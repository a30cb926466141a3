"""Keep recurrent layers whole in a capture: PyTorch's recurrent functions become the operators of this package.

`nn.RNN`, `nn.GRU` and `nn.LSTM` end in `torch.rnn_tanh`, `rnn_relu`, `gru` or `lstm`. Intercepting these rather than
the modules keeps what the modules do around them: unbatched input, `batch_first`, checks, subclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .operators import lstm, recurrent
from .packed import PackedSequences

_KINDS = {torch.rnn_tanh: "rnn_tanh", torch.rnn_relu: "rnn_relu", torch.gru: "gru", torch.lstm: "lstm"}


class KeepRecurrentLayers(TorchFunctionMode):
    """A context manager that patches nothing: PyTorch keeps the mode for the thread, until the block ends."""

    def __init__(self) -> None:
        super().__init__()
        self._packed = PackedSequences()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._packed.handlers:
            return self._packed.handlers[func](*args, **kwargs)
        kind = _KINDS.get(func)
        if kind is None:
            return func(*args, **kwargs)
        # The overload for packed sequences has the batch sizes second, so that the list of weights comes fourth.
        return self._call_packed(kind, *args) if isinstance(args[3], (list, tuple)) else _call(kind, *args, **kwargs)

    def _call_packed(
        self,
        kind: str,
        data: Tensor,
        batch_sizes: Tensor,
        hx: Tensor | Sequence[Tensor],
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ) -> tuple[Tensor, ...]:
        lengths = self._packed.lengths_of(batch_sizes)
        return _stack(kind, data, hx, params, has_biases, num_layers, bidirectional, lengths)


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
    steps = x.transpose(0, 1) if batch_first else x
    y, *states = _stack(kind, steps, hx, params, has_biases, num_layers, bidirectional, None)
    return (y.transpose(0, 1) if batch_first else y, *states)


def _stack(
    kind: str,
    x: Tensor,
    hx: Tensor | Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    bidirectional: bool,
    lengths: Tensor | None,
) -> tuple[Tensor, ...]:
    if kind == "lstm":
        h0, c0 = hx
        outputs: tuple[Tensor, ...] = lstm(x, h0, c0, list(params), has_biases, num_layers, bidirectional, lengths)
    else:
        outputs = recurrent(kind, x, hx, list(params), has_biases, num_layers, bidirectional, lengths)
    return outputs
