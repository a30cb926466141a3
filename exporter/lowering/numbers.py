"""Numbers of the program keep their digits: PyTorch's translations round each to float32 before they cast it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx_ir as ir
from torch.onnx._internal.exporter import _building

_NAME = "_process_python_constants"
_CASTS = ("Cast", "CastLike")


@contextmanager
def exact_numbers() -> Iterator[None]:
    """Within the block a float that is cast is a float64 constant, unless float32 holds it; restored afterwards."""
    process = getattr(_building, _NAME)

    def exactly(signature: Any, named_inputs: dict[str, Any], *others: Any) -> Any:
        if signature.name in _CASTS:
            named_inputs = {name: _exact(value) for name, value in named_inputs.items()}
        return process(signature, named_inputs, *others)

    setattr(_building, _NAME, exactly)
    try:
        yield
    finally:
        setattr(_building, _NAME, process)


def _exact(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    with np.errstate(over="ignore"):
        rounded = float(np.float32(value))
    return value if rounded == value else ir.tensor(value, dtype=ir.DataType.DOUBLE)
