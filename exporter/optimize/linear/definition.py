"""What ONNX's LinearAttention computes, in float64: the standard that a graph is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[np.float64]


def attend(
    query: Wide, key: Wide, value: Wide, logarithms: Wide | None = None, rate: Wide | None = None, axis: int = 0
) -> Wide:
    """S' = a S + k v, or with a rate b S' = a S + b k (v - a k S); y = q S', without a scale.

    Args:
        query, key: the key's axis last; `axis` is the time, and all others are there, or of length 1.
        value: the value's axis last.
        logarithms: of the decay a, with an axis for the key, of length 1 where it is the same for all keys.
        rate: with a last axis of length 1.
    """
    given = [np.moveaxis(each, axis, 0) for each in (query, key, value)]
    query, key, value = given
    steps = query.shape[0]
    decay = None if logarithms is None else np.exp(np.moveaxis(logarithms, axis, 0))
    rates = None if rate is None else np.moveaxis(rate, axis, 0)
    state: Wide = np.zeros((1, 1))
    outputs = []
    for t in range(steps):
        if decay is not None:
            state = decay[min(t, len(decay) - 1)][..., None] * state
        new = value[t]
        if rates is not None:
            new = rates[t] * (new - (key[t][..., None] * state).sum(-2))
        state = state + key[t][..., None] * new[..., None, :]
        outputs.append((query[t][..., None] * state).sum(-2))
    return np.moveaxis(np.stack(outputs), 0, axis)
