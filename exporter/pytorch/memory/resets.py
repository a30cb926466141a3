"""What a state begins with: the model's own value before its first call, or zeros where it has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ...spec.streams import Reset, reset_of
from .places import Place
from .watching import Watched


def reset_for(place: Place, dims: Sequence[str | int], runs: Sequence[Watched]) -> Reset:
    """The value before the first call, with dynamic sizes of 1; zero where it is none that can be given so."""
    value = runs[0].before.get(place)
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
