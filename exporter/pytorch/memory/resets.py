"""What a state begins with: the model's own value before its first call, or zeros where it has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...spec.streams import Reset, cannot_stream, reset_of
from .places import Place
from .watching import Watched

# JSON's readers keep numbers as float64, which has each whole number up to here.
_EXACT = 2**53


def reset_for(place: Place, dims: Sequence[str | int], runs: Sequence[Watched]) -> Reset:
    """The value before the first call, with dynamic sizes of 1; zero where it is none that can be given so.

    Raises:
        CaptureError: it is a whole number that not every reader of a file's metadata keeps as it is.
    """
    value = runs[0].before.get(place)
    if isinstance(value, int) or (isinstance(value, Tensor) and value.dtype == torch.int64):
        _check_exact(place, value)
    if isinstance(value, (bool, int, float)):
        return float(value)
    if not isinstance(value, Tensor) or not value.numel():
        return 0.0
    array = value.detach().cpu().numpy()
    if array.size == 1 or (array == array.reshape(-1)[0]).all():
        return reset_of(array.reshape(-1)[:1])
    if array.ndim != len(dims):
        return 0.0
    rows = array[tuple(slice(0, 1) if isinstance(dim, str) else slice(None) for dim in dims)]
    return reset_of(np.ascontiguousarray(rows))


def _check_exact(place: Place, value: int | Tensor) -> None:
    least, most = (
        (value, value)
        if isinstance(value, int)
        else (value.min().item(), value.max().item())
        if value.numel()
        else (0, 0)
    )
    if max(abs(least), abs(most)) > _EXACT:
        raise cannot_stream(
            f"{place} begins with a whole number beyond 2**53, which not every reader of a file's metadata keeps as it "
            "is. Begin with a smaller one."
        )
