"""Sizes and values for the inputs of a README's program: small, told in a few numbers, and such as the model takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...spec.float_range import FloatRange
from ...spec.signature import Signature, TensorSpec

# Exact in every dtype, and of both signs: at zero a model without biases gives zero, whatever its weights.
_FLOATS = (0.5, -0.25, 1.0, -0.75)

# Beyond the least sizes; a size such as `T-9` follows from others, and is 1 or more from some size on.
_FURTHEST = 1000


def least_sizes(signature: Signature, bounds: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """The least size of each dynamic dimension that the file takes."""
    least = {name: bounds.get(name, {}).get("min", 1) for name in signature.symbols}
    grown = ({name: size + more for name, size in least.items()} for more in range(_FURTHEST))
    return next((sizes for sizes in grown if signature.fits(sizes)), least)


def values_for(spec: TensorSpec, sizes: Mapping[str, int], depends: bool) -> tuple[int | float, ...]:
    """What an input is filled with, over and over.

    Args:
        depends: whether the caller made the inputs of cases, of which some may depend on others: integers are then all
            the least.
    """
    if spec.is_float:
        return _floats(spec.floats, spec.dtype) if isinstance(spec.floats, FloatRange) else _FLOATS
    if spec.range is None or depends:
        return (spec.filler,)
    low, high = spec.range
    if isinstance(high, str):  # lengths: every sequence is as long as the longest
        return (max(low, sizes[high]),)
    return (low,) if spec.descending else tuple(range(low, min(high, low + 3) + 1))


def _floats(floats: FloatRange, dtype: str) -> tuple[float, ...]:
    if floats.one_of:
        return floats.one_of[:4]
    low, high = floats.low, floats.high
    if low is not None and high is not None:
        found = tuple(low * (1 - part) + high * part for part in (0.5, 0.25, 0.75))
    elif low is not None:
        found = (low + 1, low + 0.5, low + 1.5)
    else:
        assert high is not None
        found = (high - 1, high - 0.5, high - 1.5)
    return found if floats.holds(np.array(found, dtype)).all() else (floats.typical,)
