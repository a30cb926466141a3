"""When a block of a file is a box of the model's: where all bits are equal, all but for a lower precision, or most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from .places import Bits
from .tensors import bits_of, coarse_bits

Array = NDArray[Any]


@dataclass(frozen=True)
class Likeness:
    """The bits that are compared, of the file's numbers and of the model's; `whole`: all must be equal, else most."""

    of_file: Callable[[Array], Bits]
    of_model: Callable[[Array], Bits]
    whole: bool


def _rounded_bits(dtype: Any, array: Array) -> Bits:
    with np.errstate(over="ignore"):
        return bits_of(array.astype(dtype).astype(array.dtype))


EQUAL = Likeness(bits_of, bits_of, whole=True)
NEAR = Likeness(coarse_bits, coarse_bits, whole=False)

# Weights whose precision was lowered, and which still stand in the file as what they were.
LOWER = [
    Likeness(bits_of, partial(_rounded_bits, dtype), whole=True)
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float32)
]
