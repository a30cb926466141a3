"""Packed sequences while a model is captured: which lengths stand behind the batch sizes that PyTorch passes around.

A `PackedSequence` holds batch sizes: how many sequences go on to each step. The operators of this package take the
lengths, whose number is N, where that of the batch sizes depends on values.
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
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_packed_sequence

from ..errors import CaptureError
from ..pytorch.source_lines import at, current_line
from .operators import pack, pad

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class _Pack:
    """Batch sizes int64[S], as `pack` made them, and the lengths int64[N] they were made of."""

    batch_sizes: Tensor
    lengths: Tensor


class PackedSequences:
    """The packed sequences of one capture; `handlers` are what PyTorch's functions on them become."""

    def __init__(self) -> None:
        self._packs: list[_Pack] = []
        self.handlers: dict[Callable[..., Any], Callable[..., Any]] = {
            torch._VF._pack_padded_sequence: self._pack,
            torch._VF._pad_packed_sequence: self._pad,
            torch._C._nn.pad_sequence: _pad_sequence,
            Tensor.__getitem__: self._getitem,
            Tensor.size: self._size,
            Tensor.numpy: lambda tensor, **named: _listed(tensor, partial(Tensor.numpy, **named)),
            torch.as_tensor: _from_list(torch.as_tensor),
            torch.tensor: _from_list(torch.tensor),
        }

    def lengths_of(self, batch_sizes: Tensor) -> Tensor:
        """The lengths int64[N] that batch sizes were made of.

        Raises:
            CaptureError: no `pack_padded_sequence` of this capture made them.
        """
        found = self._find(batch_sizes)
        if found is None:
            raise _computed_batch_sizes()
        return found.lengths

    def _find(self, batch_sizes: Any) -> _Pack | None:
        return next((known for known in self._packs if known.batch_sizes is batch_sizes), None)

    def _pack(self, x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor]:
        # A model may change its lengths later.
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
        """The first batch size is N: as a size, not as a value."""
        known = self._find(tensor) if isinstance(index, int) and index == 0 else None
        return tensor[index] if known is None else known.lengths.shape[0]

    def _size(self, tensor: Tensor, *dim: Any, **named: Any) -> Any:
        """As ever; and what `pad_packed_sequence` is about to check, that `total_length` suffices, is then known."""
        size = tensor.size(*dim, **named)
        total_length = _total_length() if self._find(tensor) is not None else None
        if total_length is not None:
            torch._check(size <= total_length)
        return size


def _total_length() -> Any:
    """The argument of the `pad_packed_sequence` that is running; None outside of one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not pad_packed_sequence.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals["total_length"]


def _computed_batch_sizes() -> CaptureError:
    return CaptureError(
        f"The batch sizes of a PackedSequence{at(current_line())} are computed in forward. "
        "Take them, as they are, from what pack_padded_sequence or pack_sequence returned."
    )


class ListedTensor:
    """What `tolist` and `numpy` give of lengths while N is symbolic: it can be made a tensor again, nothing else."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def _refuse(self, *_: object) -> NoReturn:
        raise CaptureError(
            f"The model uses the values of a tensor as a list or array{at(current_line())}, whose length is dynamic. "
            "Use the tensor itself there, such as lengths.max() for max(lengths.tolist())."
        )

    __iter__ = __len__ = __getitem__ = __add__ = __contains__ = __eq__ = __bool__ = _refuse


def _from_list(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def from_list(data: Any, *args: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
        if isinstance(data, ListedTensor):
            return data.tensor.to(dtype or data.tensor.dtype)
        if isinstance(data, (list, tuple)) and any(isinstance(part, SymInt) for part in data):
            # PyTorch's function in C++ would make numbers of the sizes, its twin in Python does not.
            made: Tensor = torch._refs.tensor(data, dtype=dtype, **kwargs)
            return made
        return make(data, *args, dtype=dtype, **kwargs)

    return from_list


def _pad_sequence(
    sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """As PyTorch's, whose own decides while capturing which sequence is the longest."""
    longest = reduce(torch.sym_max, [sequence.shape[0] for sequence in sequences])
    padded = [F.pad(sequence, _edges(sequence, longest, padding_side), value=padding_value) for sequence in sequences]
    return torch.stack(padded, 0 if batch_first else 1)


def _edges(sequence: Tensor, longest: Any, side: str) -> list[Any]:
    """How much to pad each dimension, the last one first, each at its beginning and its end."""
    missing = longest - sequence.shape[0]
    return [0, 0] * (sequence.dim() - 1) + ([missing, 0] if side == "left" else [0, missing])


@contextmanager
def symbolic_batch(model: nn.Module) -> Iterator[None]:
    """Within the block nothing of PyTorch's makes a number of N while it handles packed sequences or their lengths.

    The recurrent layers' own check of a state's shape reads `int(batch_sizes[0])`; the two methods that do so are
    shadowed in each layer of `model`, not in its class. `FakeTensor.tolist` makes a list of N elements: it is replaced.
    """
    tolist = FakeTensor.tolist
    with ExitStack() as restore:
        restore.callback(setattr, FakeTensor, "tolist", tolist)
        FakeTensor.tolist = lambda tensor: _listed(tensor, tolist)  # type: ignore[method-assign,assignment]
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                for name in ("get_expected_hidden_size", "get_expected_cell_size"):
                    if hasattr(module, name):
                        restore.callback(_shadow(module, name))
        yield


def _listed(tensor: Any, listed: Callable[[Any], Any]) -> Any:
    if tensor.dim() == 1 and isinstance(tensor.shape[0], SymInt):
        return ListedTensor(tensor)
    return list(tensor.counted) if hasattr(tensor, "counted") else listed(tensor)


def _shadow(module: nn.RNNBase, name: str) -> Callable[[], object]:
    original = getattr(module, name)

    def expected(x: Tensor, batch_sizes: Any) -> Any:
        if batch_sizes is None:
            return original(x, None)
        if isinstance(batch_sizes[0], Tensor):
            raise _computed_batch_sizes()
        # PyTorch's own formula, given a padded tensor of the same batch.
        return original(x.new_empty(batch_sizes[0], batch_sizes[0], 1), None)

    module.__dict__[name] = expected
    return lambda: module.__dict__.pop(name)
