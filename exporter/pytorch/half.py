"""Make a float16 model, with its signature and example, from a float32 one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as with_fields
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InputError, LoadError, first_line
from ..spec.signature import Signature, TensorSpec
from .copying import copied
from .request import Example, ExportRequest

Array = NDArray[np.generic]


def to_float16(given: ExportRequest) -> ExportRequest:
    """The float16 form of a model and of its inputs; its source says that it is one.

    Raises:
        InputError: the model has no float32 weights.
        LoadError: it cannot be copied.
    """
    return ExportRequest(
        in_float16(given.model),
        float16_signature(given.signature),
        None if given.example is None else _lowered_example(given.example),
        None if given.source is None else replace(given.source, precision="float16"),
        None if given.made is None else with_fields(given.made, half=True),
    )


def in_float16(model: nn.Module) -> nn.Module:
    """A copy of the model as `model.half()` makes it.

    Raises:
        InputError: it has no float32 weights.
        LoadError: it cannot be copied.
    """
    if not any(tensor.dtype == torch.float32 for tensor in (*model.parameters(), *model.buffers())):
        raise InputError(
            "The model has no float32 weights that float16 could take the place of. Leave `precision` out."
        )
    try:
        return copied(model).half()
    except Exception as error:  # whatever a module's own __deepcopy__ raises
        raise LoadError(
            f"The model cannot be copied ({type(error).__name__}: {first_line(error)}). "
            "Give it in float16, with inputs to match, and leave `precision` out."
        ) from error


def float16_signature(signature: Signature) -> Signature:
    """The same with float16 for each float32 input."""
    inputs = {name: _lowered(spec) for name, spec in signature.inputs.items()}
    return Signature(inputs, signature.outputs, signature.states)


def _lowered(spec: TensorSpec) -> TensorSpec:
    return replace(spec, dtype="float16") if spec.dtype == "float32" else spec


def _lowered_example(example: Example) -> Example:
    if isinstance(example, Mapping):
        return {name: _lowered_value(value) for name, value in example.items()}
    return [_lowered_value(value) for value in example]


def _lowered_value(value: Tensor | Array) -> Tensor | Array:
    if isinstance(value, Tensor):
        return value.half() if value.dtype == torch.float32 else value
    return _as(np.asarray(value), np.float32, np.float16)


def _as(array: Array, one: type[Any], other: type[Any]) -> Array:
    return array.astype(other) if array.dtype == one else array
