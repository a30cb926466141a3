"""Draw the values of a float input that takes not all of them: within its range, at its ends, beside zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..spec.artifact import Values
from ..spec.float_range import FloatRange

Floats = NDArray[np.float64]
SATURATING = 100.0
DENORMAL = 1e-40

# How near to an end that is left out the values come that saturate, in parts of the range.
_NEAR = 1e-3


def takes(span: FloatRange, values: Values, dtype: str) -> bool:
    """Whether a range has values of this kind which are not ordinary ones: infinity and NaN lie in none."""
    low, high = span.ends(dtype)
    if values == "zero":
        return bool(span.holds(np.zeros((), dtype)))
    if values == "denormal":
        return not span.one_of and low < DENORMAL and high > -DENORMAL
    if values == "saturating":
        return not span.one_of
    return values not in ("infinite", "nan")


def draw_ranged(
    span: FloatRange, values: Values, shape: tuple[int, ...], dtype: str, random: np.random.Generator
) -> NDArray[Any]:
    """Values of one kind, which the range takes: evenly between two ends, lognormal from a single one."""
    if span.one_of:
        drawn = np.zeros(shape) if values == "zero" else random.choice(np.asarray(span.one_of), shape)
        return np.asarray(drawn, dtype)
    low, high = span.ends(dtype)
    if values == "zero":
        drawn = np.zeros(shape)
    elif values == "denormal":
        drawn = random.standard_normal(shape) * DENORMAL
        drawn = np.abs(drawn) if low >= 0 else -np.abs(drawn) if high <= 0 else drawn
    elif values == "saturating":
        drawn = np.where(random.integers(0, 2, shape) == 1, _end(span, 1, shape, random), _end(span, -1, shape, random))
    else:
        drawn = _ordinary(span, shape, random)
    return np.asarray(np.clip(drawn, low, high), dtype)


def _ordinary(span: FloatRange, shape: tuple[int, ...], random: np.random.Generator) -> Floats:
    if span.low is not None and span.high is not None:
        return random.uniform(span.low, span.high, shape)
    return _beyond(span, random.lognormal(size=shape))


def _beyond(span: FloatRange, distance: Floats) -> Floats:
    """So far from the only end, in units of its size where that is more than 1."""
    end = span.low if span.low is not None else span.high
    assert end is not None
    return np.asarray(end + (1 if span.high is None else -1) * distance * max(1.0, abs(end)))


def _end(span: FloatRange, side: int, shape: tuple[int, ...], random: np.random.Generator) -> Floats:
    """The lower (-1) or upper (1) end; beside it where it is left out, far away where there is none."""
    end, left_out = (span.low, span.above) if side < 0 else (span.high, span.below)
    if end is None:
        return _beyond(span, SATURATING * random.lognormal(size=shape))
    if not left_out:
        return np.full(shape, end)
    if span.low is not None and span.high is not None:
        return np.full(shape, end - side * _NEAR * (span.high - span.low))
    return _beyond(span, np.full(shape, _NEAR))
