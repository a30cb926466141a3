"""A model in float16, made of one in float32, and what that costs beside it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..bundle.manifest import Artifact
from ..errors import InputError, LoadError, first_line
from ..evaluation import evaluating
from ..parity import Expected, Report, check, expect_inputs
from ..parity.reference import Oracle
from ..preparation import Example, Given, Prepared
from ..runtimes import Placement, Session
from ..signature import Signature, TensorSpec
from . import UNBOUNDED

Array = NDArray[np.generic]


def lower(given: Given) -> Given:
    """The float16 form of a model and of its inputs; its source says that it is one.

    Raises:
        InputError: the model has no float32 weights.
        LoadError: it cannot be copied.
    """
    return Given(
        in_float16(given.model),
        float16_signature(given.signature),
        None if given.example is None else _lowered_example(given.example),
        None if given.source is None else replace(given.source, precision="float16"),
    )


def in_float16(model: nn.Module) -> nn.Module:
    """A copy of the model as `model.half()` makes it.

    Raises:
        InputError: it has no float32 weights.
        LoadError: it cannot be copied.
    """
    if not any(tensor.dtype == torch.float32 for tensor in (*model.parameters(), *model.buffers())):
        raise InputError("The model has no float32 weights that float16 could take the place of. Leave precision out.")
    try:
        return copy.deepcopy(model).half()
    except Exception as error:  # whatever a module's own __deepcopy__ raises
        raise LoadError(
            f"The model cannot be copied ({type(error).__name__}: {first_line(error)}). "
            "Give it in float16, with inputs to match, and leave precision out."
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


def check_cost(
    session: Session, prepared: Prepared, original: Given, lowered: Sequence[Expected], artifact: Artifact
) -> tuple[Report, ...]:
    """Run a float16 file, and PyTorch in float16, on what the float32 model is given; judge both by it and the bound.

    ONNX Runtime's CPU provider casts to float32 and back, and rounds less often than a runtime that computes in float16
    does, as PyTorch does. So the file alone would show too little.

    Args:
        session: of the file, fed in one pass.
        prepared: the float16 model.
        original: the float32 model and its inputs.
        lowered: the cases, with float16 inputs; those that no bound holds for are left out.
    """
    assert artifact.precision is not None
    finite = [item for item in lowered if item.case.values not in UNBOUNDED and item.reference is not None]
    with evaluating(original.model):
        oracle = Oracle(original.model, original.signature.with_outputs(prepared.signature.outputs))
        expected = [expect_inputs(oracle, original.signature, item.case, _widened(item.inputs)) for item in finite]
    compare = partial(
        check, expected=expected, traced=prepared.traced, seed=prepared.seed, bound=artifact.precision.bound
    )
    eager = Oracle(prepared.model, prepared.signature).eager
    return (
        compare(
            _Widened(session.run), artifact="The float16 file, beside the float32 model,", runtime=artifact.runtime
        ),
        compare(_Widened(eager), artifact="The model in float16, beside itself in float32,", runtime="PyTorch"),
    )


class _Widened:
    """A program that takes and gives float16, as a session that takes and gives float32."""

    hides_nan = ""
    spreads_nan = False

    def __init__(self, run: Callable[[Mapping[str, Array]], dict[str, Array]]) -> None:
        self._run = run

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return _widened(self._run({name: _as(array, np.float32, np.float16) for name, array in inputs.items()}))

    def placement(self) -> Placement:
        return Placement("", "")


def _widened(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: _as(array, np.float16, np.float32) for name, array in arrays.items()}


def _as(array: Array, one: type[Any], other: type[Any]) -> Array:
    return array.astype(other) if array.dtype == one else array
