"""Places in a tensor that a computed number names, as in `stack[pointer]`: indices that a graph can follow.

PyTorch reads the number out of a tensor without dimensions to index with it, which no capture can. An index of one
element does the same, and leaves a dimension of size 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import SymInt, Tensor

from .numbers import Ranges, as_tensor, is_data_dependent


def names_place(index: Any, ranges: Ranges) -> bool:
    """Whether an index has a computed number in it that no step of a loop gives, and all numbers stand side by side."""
    parts = _parts(index)
    numbers = [at for at, part in enumerate(parts) if _is_number(part)]
    side_by_side = bool(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1
    others = all(part is None or part is Ellipsis or isinstance(part, slice) or _is_number(part) for part in parts)
    computed = (_is_held(part) or (is_data_dependent(part) and not ranges.steps_in(part)) for part in parts)
    return side_by_side and others and any(computed)


def element_at(tensor: Tensor, index: Any) -> Tensor:
    """`tensor[index]` of such an index."""
    return tensor[_with_rows(index)].select(-1 - _dims_after(index, tensor.dim()), 0)


def write_at(tensor: Tensor, index: Any, value: Any) -> None:
    """`tensor[index] = value` of such an index."""
    after = _dims_after(index, tensor.dim())
    is_deeper = isinstance(value, Tensor) and value.dim() > after
    tensor[_with_rows(index)] = value.unsqueeze(-1 - after) if is_deeper else value


def _with_rows(index: Any) -> tuple[Any, ...]:
    """The index with lists of one in place of its numbers."""
    return tuple(as_tensor(part).reshape(1).to(torch.int64) if _is_number(part) else part for part in _parts(index))


def _dims_after(index: Any, dims: int) -> int:
    """How many dimensions of the result come after the one that the numbers leave."""
    parts = _parts(index)
    rest = dims - sum(part is not None and part is not Ellipsis for part in parts)
    last = max(at for at, part in enumerate(parts) if _is_number(part))
    shown = [rest if part is Ellipsis else 1 for part in parts[last + 1 :]]
    return sum(shown) + (0 if any(part is Ellipsis for part in parts) else rest)


def _parts(index: Any) -> Sequence[Any]:
    return index if isinstance(index, tuple) else (index,)


def _is_number(part: Any) -> bool:
    return _is_held(part) or (isinstance(part, (int, SymInt)) and not isinstance(part, bool))


def _is_held(part: Any) -> bool:
    """Whether a part is a tensor of one whole number."""
    return isinstance(part, Tensor) and part.dim() == 0 and not part.is_floating_point() and part.dtype != torch.bool
