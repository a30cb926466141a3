"""Check that the int8 weights in a file are the model's: read them back, scale them, compare channel by channel.

A bound on outputs misses some faults of weights. In each channel, with s its scale, every weight must be within s/2 of
the model's, and s no larger than 1/127 of the largest magnitude in the channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from ..errors import InternalError
from ..onnx_file import read_onnx
from .quantization import LARGEST, LEAST, Original

# Division, rounding and multiplication in float32 may each be off by half an ulp.
_ROUNDING = 1 + 1e-4


def check_weights(path: Path, originals: Mapping[str, Original]) -> None:
    """Compare the int8 tensors of an ONNX file with the weights that they stand for, by name.

    Raises:
        InternalError: a channel differs by more than rounding.
    """
    if not originals:
        return
    tensors = {tensor.name: tensor for tensor in read_onnx(path).graph.initializer}
    for name, original in originals.items():
        values, scales = (numpy_helper.to_array(tensors[each]) for each in (name, original.scales))
        wrong = wrong_channels(original.weights, values, scales)
        if wrong.any():
            raise InternalError(f"'{name}' is not the model's weight in {wrong.sum()} of {wrong.size} channels.")


def wrong_channels(
    weights: NDArray[np.generic], values: NDArray[np.generic], scales: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Which of the M channels of int8 values [..., K, M] with scales [..., M] are not the weights [..., K, M]."""
    if (
        values.dtype != np.int8
        or values.shape != weights.shape
        or scales.shape != weights.shape[:-2] + weights.shape[-1:]
    ):
        return np.ones(weights.shape[-1], np.bool_)
    exact, steps = weights.astype(np.float64), scales.astype(np.float64)
    largest = np.abs(exact).max(axis=-2)
    off = np.abs(values.astype(np.float64) * steps[..., None, :] - exact).max(axis=-2)
    coarse = (largest > LEAST) & (steps > largest / LARGEST * _ROUNDING)
    return np.asarray((off > steps / 2 * _ROUNDING) | coarse)
