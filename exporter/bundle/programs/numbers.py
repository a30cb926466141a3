"""The numbers of a tensor as each language writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from .call import Filled

# float16 holds every whole number up to it.
_EXACT = 2048

_CPP = {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN", str(-(2**63)): "INT64_MIN"}
_JAVASCRIPT = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_PYTHON = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}


def cpp(filled: Filled) -> str:
    """A float's digits are those of float32: as a double, the largest of them would be too large for it."""
    numbers = _written(filled.values, _CPP)
    if filled.dtype != "float64":
        numbers = [f"{number}f" if set(number) & {".", "e"} else number for number in numbers]
    return ", ".join(numbers)


def cpp_filled(filled: Filled, element: str) -> str:
    """The shape and the values, each in braces; `element` is the type of a float16, which takes a float."""
    values = cpp(filled)
    if filled.dtype == "float16":
        values = ", ".join(f"{element}(float({value}))" for value in values.split(", "))
    return f"{{{', '.join(map(str, filled.shape))}}}, {{{values}}}"


def javascript(filled: Filled) -> str:
    """Bits for float16, which JavaScript does not have everywhere."""
    values = filled.values
    if filled.dtype == "float16":
        values = tuple(int(bits) for bits in np.array(values, np.float16).view(np.uint16))
    suffix = "n" if filled.dtype == "int64" else ""
    return ", ".join(f"{number}{suffix}" for number in _written(values, _JAVASCRIPT))


def python(filled: Filled) -> str:
    return ", ".join(_written(filled.values, _PYTHON))


def _written(values: Sequence[int | float], names: Mapping[str, str]) -> list[str]:
    """`names` are the language's words for numbers that it writes otherwise, such as `inf`."""
    return [names.get(text, text) for text in map(_shortest, values)]


def _shortest(value: int | float) -> str:
    """A small whole number without a point: any language takes it for a float."""
    small = abs(value) <= _EXACT and value == int(value) and math.copysign(1, value) == (-1 if value < 0 else 1)
    return str(int(value)) if isinstance(value, int) or small else repr(value)
