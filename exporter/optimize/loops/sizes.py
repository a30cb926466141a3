"""How large values are beside each other, where some of their dimensions are known by name alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import onnx_ir as ir

# Operators that do much more work than they read and write.
PRODUCTS = {"MatMul", "Gemm"}


def is_larger(values: Iterable[ir.Value], others: Iterable[ir.Value], times: float = 1) -> bool:
    """Whether values have more than `times` as many elements together as the others, or may have."""
    number, names = 0.0, Counter[str]()
    for count, given in map(_size, values):
        number, names = number + count, names | given
    # What has fewer dynamic dimensions is small beside what has more.
    return number > times * sum(count for count, given in map(_size, others) if names <= given)


def _size(value: ir.Value) -> tuple[float, Counter[str]]:
    """The product of the known dimensions, and the names of the others."""
    if value.shape is None:
        return math.inf, Counter()
    known = [dim for dim in value.shape if isinstance(dim, int)]
    return math.prod(known), Counter(str(dim) for dim in value.shape if not isinstance(dim, int))
