"""Substitute functions of PyTorch that a capture cannot handle by equal ones that it can.

* `max_pool1d` specializes the length; `max_pool2d` does not.
* `scaled_dot_product_attention` has an ONNX form for four dimensions, but not for three.
* `Tensor.data` is not recorded; `detach` is.
* `stft`, `istft` and the functions of `torch.fft` become the steps of `spectra`.
* `torch.cdist` takes another path beyond 25 rows, `torch.linspace` its number of steps for a plain one.
* `torch.take_along_dim` asks whether two sizes are equal.
* `one_hot` without a number of classes makes a plain number of the largest value.
* The cells ask whether a batch and its state are equally long, which of computed lengths has to be said.
* `torch.arange` of plain numbers forgets them; `tolist` needs them.
* `squeeze` of a dynamic size removes the dimension at size 1 only (see `squeezes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import SymInt, Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..torch_internals.capture import check
from .control_flow.numbers import is_data_dependent
from .control_flow.values import same
from .pieces import END, piece
from .spectra import TRANSFORMS, istft, stft
from .squeezes import Squeezes


class Substitutions(TorchFunctionMode):
    """A context manager that patches nothing: PyTorch keeps the mode for the thread, until the block ends."""

    def __init__(self, squeezes: Squeezes) -> None:
        super().__init__()
        self._functions: Mapping[Callable[..., Any], Callable[..., Any]] = {
            **_SUBSTITUTIONS,
            **dict.fromkeys((torch.squeeze, torch.Tensor.squeeze), squeezes.squeeze),
        }

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self._functions.get(func, func)(*args, **(kwargs or {}))


def _max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if return_indices:
        return F.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
    wide = F.max_pool2d(
        input.unsqueeze(-2),
        (1, _one(kernel_size)),
        None if stride in (None, (), []) else (1, _one(stride)),
        (0, _one(padding)),
        (1, _one(dilation)),
        ceil_mode,
    )
    return wide.squeeze(-2)


def _one(number: Any) -> Any:
    return number[0] if isinstance(number, (tuple, list)) else number


def _attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, **options: Any) -> Tensor:
    if query.dim() != 3:
        return F.scaled_dot_product_attention(query, key, value, attn_mask, **options)
    mask = attn_mask.unsqueeze(1) if attn_mask is not None and attn_mask.dim() == 3 else attn_mask
    query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
    return F.scaled_dot_product_attention(query, key, value, mask, **options).squeeze(1)


def _arange(*numbers: Any, **options: Any) -> Tensor:
    """`torch.arange` that keeps its numbers as `listed`, for a model that makes a list of dimensions from it."""
    tensor = torch.arange(*numbers, **options)
    if all(type(number) is int for number in numbers) and not options:
        tensor.listed = list(range(*numbers))  # type: ignore[attr-defined]
    return tensor


def _one_hot(tensor: Tensor, num_classes: Any = -1) -> Tensor:
    if not isinstance(num_classes, int) or num_classes != -1:
        return F.one_hot(tensor, num_classes)
    classes: Any = tensor.max().item() + 1
    check(classes >= 1)
    return (tensor.unsqueeze(-1) == torch.arange(classes)).to(torch.int64)


def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """Of rows [..., P, M] and [..., R, M]: [..., P, R]."""
    lengths: Tensor = torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), ord=p, dim=-1)
    return lengths


def _linspace(start: Any, end: Any, steps: Any, **options: Any) -> Tensor:
    if not isinstance(steps, SymInt) or isinstance(start, Tensor) or isinstance(end, Tensor):
        return torch.linspace(start, end, steps, **options)
    dtype = options.get("dtype") or torch.get_default_dtype()
    count: Any = steps
    index = torch.arange(count, dtype=dtype)
    last = torch.full((), count - 1, dtype=dtype)
    step = (end - start) / last.clamp(min=1)
    # PyTorch counts the second half from the end; a single step is the start.
    is_early = (index < steps // 2) | (last == 0)
    return torch.where(is_early, start + step * index, end - step * (last - index))


def _take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    if dim is None:
        return input.flatten().gather(0, indices.flatten())
    sizes = list(zip(input.shape, indices.shape, strict=True))
    sizes[dim] = (-1, -1)
    wide = [-1 if not isinstance(n, int) or n != 1 else m for n, m in sizes]
    wide_indices = [-1 if not isinstance(m, int) or m != 1 else n for n, m in sizes]
    return input.expand(wide).gather(dim, indices.expand(wide_indices))


def _cell(cell: Callable[..., Any]) -> Callable[..., Any]:
    def of_one_batch(input: Tensor, hx: Any, *weights: Any) -> Any:
        states = [_as_long_as(input, state) for state in (hx if isinstance(hx, (tuple, list)) else (hx,))]
        return cell(input, states if isinstance(hx, (tuple, list)) else states[0], *weights)

    return of_one_batch


def _as_long_as(input: Tensor, state: Tensor) -> Tensor:
    """A state, of which the cell wants to be told that it has as many rows as its input."""
    rows = input.shape[0]
    if not (is_data_dependent(rows) or is_data_dependent(state.shape[0])) or same(rows, state.shape[0]):
        return state
    taken: Tensor = piece(state, 0, 0, END, rows)
    return taken


_SUBSTITUTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.max_pool1d: _max_pool1d,
    F.max_pool1d: _max_pool1d,
    F.scaled_dot_product_attention: _attention,
    torch.Tensor.data.__get__: torch.Tensor.detach,  # type: ignore[attr-defined]
    torch.arange: _arange,
    torch.cdist: _cdist,
    torch.linspace: _linspace,
    F.one_hot: _one_hot,
    torch.take_along_dim: _take_along_dim,
    torch.Tensor.take_along_dim: _take_along_dim,
    torch.stft: stft,
    torch.Tensor.stft: stft,
    torch.istft: istft,
    **TRANSFORMS,
    torch.Tensor.istft: istft,
    **{cell: _cell(cell) for cell in (torch.gru_cell, torch.lstm_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell)},
}
