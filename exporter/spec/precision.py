"""Reduced-precision weights: which there are, what they may cost, and what they were measured to cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..errors import InputError, did_you_mean

# The error that each kind of weights may cause, relative to an output's scale (see docs/precision.md).
BOUNDS: Mapping[str, float] = {"int8": 0.09, "float16": 0.004}


class OutputError(Struct, frozen=True, forbid_unknown_fields=True):
    """The largest errors of an output over the cases without NaN or infinity."""

    max: Annotated[float, Meta(description="Against the reference, absolute.")]
    relative: Annotated[float, Meta(description="Against the reference, relative to the output's scale.")]
    vs_eager: Annotated[float, Meta(description="Against PyTorch in the model's own precision.")]


class Precision(Struct, frozen=True, forbid_unknown_fields=True):
    """Reduced-precision weights, the bound on each output's error relative to its scale, and the errors if measured.

    int8 weights are judged by the float32 model. A float16 file is judged as what it is, a float16 model, at the limits
    of one; the bound is for what that costs beside the float32 model.
    """

    weights: Literal["int8", "float16"]
    bound: Annotated[float, Meta(gt=0)]
    error: Mapping[str, OutputError] | None

    @property
    def allowance(self) -> float:
        """What parity allows for reduced-precision weights, relative to an output's scale."""
        return self.bound if self.weights == "int8" else 0.0


# Values of cases that the bound does not hold for (see docs/precision.md).
UNBOUNDED = ("saturating", "infinite", "nan")


def choose_precision(quantize: str | None, precision: str | None, max_error: float | None) -> Precision | None:
    """What was asked for; None for the model's own precision.

    Raises:
        InputError: there is no such kind of weights, or two are asked for, or the bound is not a number above 0, or
            nothing is bounded by it.
    """
    if quantize is not None and precision is not None:
        raise InputError(f"Weights cannot be {quantize} and {precision} at once. Leave out quantize or precision.")
    if quantize not in (None, "int8"):
        near = did_you_mean(quantize or "", ["int8"])
        raise InputError(f"There is no quantization '{quantize}'.{near} Choose from int8.")
    if precision == "bfloat16":
        raise InputError(
            "ONNX Runtime has no RNN, GRU or LSTM with bfloat16, and its Python interface takes no such inputs. "
            "Choose float16."
        )
    if precision not in (None, "float16"):
        near = did_you_mean(precision or "", ["float16"])
        raise InputError(f"There is no precision '{precision}'.{near} Choose from float16.")
    if quantize is None and precision is None:
        if max_error is not None:
            raise InputError(
                "max_error bounds what reduced-precision weights cost, and there are none. "
                'Give quantize="int8" or precision="float16" too.'
            )
        return None
    if max_error is not None and not (math.isfinite(max_error) and max_error > 0):
        raise InputError(f"A largest error of {max_error} cannot be used. Give a number above 0, such as 0.01.")
    weights: Literal["int8", "float16"] = "int8" if quantize is not None else "float16"
    return Precision(weights, BOUNDS[weights] if max_error is None else max_error, None)
