"""Which constants of a graph may be numbers of steps, such as the width of a window or the rows of a table."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import Array, read

# From here on, a whole number stands for the end of a slice.
_ENDLESS = 2**31 - 1


def step_counts(node: ir.Node, most: int) -> set[int]:
    """Constants and lengths of constants that a node reads; of the fractional ones none above `most`."""
    found = set[int]()
    for value in read(node):
        if value.const_value is not None:
            array = value.const_value.numpy()
            found |= {abs(int(array.reshape(-1)[0]))} if _may_count(array, most) else set()
            found |= {*array.shape} if array.ndim > 1 else set()
    return found


def _may_count(array: Array, most: int) -> bool:
    """Whether a constant is one whole number, and none that stands for the end or for infinity."""
    if array.size != 1 or array.dtype.kind not in "if":
        return False
    number = float(array.reshape(()))
    return abs(number) < _ENDLESS if array.dtype.kind == "i" else number in range(most + 1)
