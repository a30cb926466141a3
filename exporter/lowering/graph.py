"""What every lowering needs of a graph: constants out of it, and initializers into it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..errors import CaptureError


def constant_array(value: ir.Value) -> np.ndarray:
    """The content of a weight.

    Raises:
        CaptureError: it is computed in the model's forward.
    """
    if value.const_value is None:
        raise CaptureError(
            "The model computes a recurrent layer's weights in forward (weight_norm or a parametrization, say). "
            "Fix them first, as torch.nn.utils.parametrize.remove_parametrizations does."
        )
    return value.const_value.numpy()


def initializer(tape: ir.tape.Tape, name: str, array: np.ndarray) -> ir.Value:
    """An initializer of that name; one with the same content is shared, another one's name is not taken."""
    for value in tape.initializers:
        assert value.const_value is not None
        if value.name == name and np.array_equal(value.const_value.numpy(), array, equal_nan=True):
            return value
    taken = {value.name for value in tape.initializers}
    while name in taken:
        name += "_"
    return tape.initializer(ir.tensor(array, name=name), name=name)
