"""Capture packed sequences in terms of their lengths, where PyTorch passes batch sizes around.

A `PackedSequence` holds batch sizes: how many sequences have each step. Their number depends on values. This package's
operators take the lengths instead, whose number is N.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import SymInt, Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_packed_sequence

from ..errors import CaptureError
from ..pytorch.source_lines import at, current_line
from ..torch_internals import capture as internals
from .operators import pack, pad

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class _Pack:
    """Batch sizes int64[S] that `pack` made, and the lengths int64[N] that it made them from."""

    batch_sizes: Tensor
    lengths: Tensor


class PackedSequences:
    """The packed sequences of one capture; `handlers` maps PyTorch's functions on them to their replacements."""

    def __init__(self) -> None:
        self._packs: list[_Pack] = []
        self.handlers: dict[Callable[..., Any], Callable[..., Any]] = {
            internals.pack_padded_sequence: self._pack,
            internals.pad_packed_sequence: self._pad,
            internals.pad_sequence: _pad_sequence,
            Tensor.__getitem__: self._getitem,
            Tensor.size: self._size,
            Tensor.numpy: lambda tensor, **named: _listed(tensor, partial(Tensor.numpy, **named)),
            torch.as_tensor: _from_list(torch.as_tensor),
            torch.tensor: _from_list(torch.tensor),
        }

    def lengths_of(self, batch_sizes: Tensor) -> Tensor:
        """The lengths int64[N] that batch sizes were made from.

        Raises:
            CaptureError: they do not come from a `pack_padded_sequence` in this capture.
        """
        found = self._find(batch_sizes)
        if found is None:
            raise _computed_batch_sizes()
        return found.lengths

    def _find(self, batch_sizes: Any) -> _Pack | None:
        return next((known for known in self._packs if known.batch_sizes is batch_sizes), None)

    def _pack(self, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        # The model may write to its lengths later.
        kept = lengths.clone()
        data, batch_sizes = pack(x.transpose(0, 1) if batch_first else x, kept)
        self._packs.append(_Pack(batch_sizes, kept))
        return data, batch_sizes

    def _pad(
        self, data: Tensor, batch_sizes: Tensor, batch_first: bool, value: float, steps: int
    ) -> tuple[Tensor, Tensor]:
        lengths = self.lengths_of(batch_sizes)
        padded = pad(data, lengths, steps, value)
        return padded.transpose(0, 1) if batch_first else padded, lengths.clone()

    def _getitem(self, tensor: Tensor, index: Any) -> Any:
        """`batch_sizes[0]` is N, as a symbolic size; any other element is a value."""
        known = self._find(tensor) if isinstance(index, int) and index == 0 else None
        return tensor[index] if known is None else known.lengths.shape[0]

    def _size(self, tensor: Tensor, *dim: Any, **named: Any) -> Any:
        """`Tensor.size`; in `pad_packed_sequence` it also asserts what is checked next: `size <= total_length`."""
        size = tensor.size(*dim, **named)
        total_length = _total_length() if self._find(tensor) is not None else None
        if total_length is not None:
            internals.check(size <= total_length)
        return size


def _total_length() -> Any:
    """The `total_length` of the `pad_packed_sequence` that is running; None outside of one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not pad_packed_sequence.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals["total_length"]


def _computed_batch_sizes() -> CaptureError:
    return CaptureError(
        f"The batch sizes of a PackedSequence{at(current_line())} are computed in forward. "
        "Use those that pack_padded_sequence or pack_sequence returned, unchanged."
    )


class ListedTensor:
    """The result of `tolist` or `numpy` on lengths while N is symbolic: a tensor can be made from it, nothing else."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def tolist(self) -> ListedTensor:
        return self

    def _refuse(self, *_: object) -> NoReturn:
        raise CaptureError(
            f"The model uses a tensor as a list or array{at(current_line())}, but its length is dynamic. "
            "Use the tensor itself there, such as lengths.max() for max(lengths.tolist())."
        )

    __iter__ = __len__ = __getitem__ = __add__ = __contains__ = __eq__ = __bool__ = _refuse


def _from_list(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def from_list(data: Any, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
        if isinstance(data, ListedTensor):
            return data.tensor.to(dtype or data.tensor.dtype)
        if isinstance(data, (list, tuple)) and any(isinstance(part, SymInt) for part in data):
            return internals.tensor_of_sizes(data, dtype, **kwargs)
        return make(data, *args, dtype=dtype, **kwargs)

    return from_list


def _pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """As PyTorch's, which would decide during the capture which sequence is the longest."""
    longest = reduce(torch.sym_max, [sequence.shape[0] for sequence in sequences])
    padded = [F.pad(sequence, _edges(sequence, longest, padding_side), value=padding_value) for sequence in sequences]
    return torch.stack(padded, 0 if batch_first else 1)


def _edges(sequence: Tensor, longest: Any, side: str) -> list[Any]:
    """The padding for `F.pad`: of each dimension, last one first, its beginning and its end."""
    missing = longest - sequence.shape[0]
    return [0, 0] * (sequence.dim() - 1) + ([missing, 0] if side == "left" else [0, missing])


@contextmanager
def symbolic_batch(model: nn.Module) -> Iterator[None]:
    """Within the block PyTorch's code for packed sequences and their lengths does not specialize N.

    A recurrent layer checks a state's shape against `int(batch_sizes[0])`; the two methods that do so are shadowed in
    each layer of `model`, not in its class. `FakeTensor.tolist`, which makes a list of N elements, is replaced.
    """
    with internals.patched_tolist(_listed), ExitStack() as restore:
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                for name in ("get_expected_hidden_size", "get_expected_cell_size"):
                    if hasattr(module, name):
                        restore.callback(_shadow(module, name))
        yield


def _listed(tensor: Any, listed: Callable[[Any], Any]) -> Any:
    if tensor.dim() == 1 and isinstance(tensor.shape[0], SymInt):
        return ListedTensor(tensor)
    return list(tensor.listed) if hasattr(tensor, "listed") else listed(tensor)


def _shadow(module: nn.RNNBase, name: str) -> Callable[[], object]:
    original = getattr(module, name)

    def expected(x: Tensor, batch_sizes: Any) -> Any:
        if batch_sizes is None:
            return original(x, None)
        if isinstance(batch_sizes[0], Tensor):
            raise _computed_batch_sizes()
        # PyTorch's own formula, for a padded tensor of the same batch.
        return original(x.new_empty(batch_sizes[0], batch_sizes[0], 1), None)

    module.__dict__[name] = expected
    return lambda: module.__dict__.pop(name)
