"""The arrays that single steps of a stream read and write, bound to an ONNX Runtime session once.

A recurrent operator may not write a state where it reads it: there are two arrays for each state, which change places
with every step. An `OrtValue` made of a numpy array is that array's memory, and a binding keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import InputError, first_line
from .feeding import one_step
from .session import StepModel, time_axes

Array = NDArray[Any]
Arrays = dict[str, Array]


@dataclass(frozen=True, eq=False, slots=True)
class Slot:
    """Where a step's input goes; `shape` and `dtype` are those of `array`, read once."""

    name: str
    array: Array
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class StepBuffers:
    """Arrays by name; of each pair the first is for even steps, the other for odd ones.

    `sizes` are those of the dynamic dimensions except the time, `initial` the states at the beginning of a stream.
    `slots` take a step's inputs, `states` are those before a step, `results` what a step has given,
    without the time. Where a state grows, nothing is bound.
    """

    sizes: dict[str, int]
    initial: Arrays
    slots: tuple[Slot, ...]
    states: tuple[Arrays, Arrays]
    results: tuple[Arrays, Arrays]
    bindings: tuple[ort.IOBinding, ...]


def make_buffers(model: StepModel, sizes: Mapping[str, int]) -> StepBuffers:
    """Allocate and bind.

    Raises:
        InputError: ONNX Runtime cannot run a step of these sizes.
    """
    initial = {state.name: state.initial(sizes) for state in model.states}
    even, odd = ({name: value.copy() for name, value in initial.items()} for _ in range(2))
    inputs = {name: one_step(spec, sizes, model.spec) for name, spec in model.inputs.items()}
    outputs = _outputs(model, inputs, initial)
    if model.spec.grows:
        slots = tuple(_slot(model, name, array) for name, array in inputs.items())
        return StepBuffers(dict(sizes), initial, slots, (even, odd), ({}, {}), ())
    return StepBuffers(
        dict(sizes),
        initial,
        tuple(_slot(model, name, array) for name, array in inputs.items()),
        (even, odd),
        (_results(model, outputs, odd), _results(model, outputs, even)),
        (_bind(model, inputs, outputs, even, odd), _bind(model, inputs, outputs, odd, even)),
    )


def guarded(run: Callable[..., Any], *arguments: Any) -> Any:
    """Call ONNX Runtime.

    Raises:
        InputError: it raises.
    """
    try:
        return run(*arguments)
    except Exception as error:  # onnxruntime raises classes of its own that have no common base
        raise refused(error) from error


def refused(error: Exception) -> InputError:
    """The error for what ONNX Runtime raised."""
    return InputError(f"ONNX Runtime cannot run this input ({first_line(error)}). Look at its values.")


def _slot(model: StepModel, name: str, whole: Array) -> Slot:
    array = whole.squeeze(time_axes(model.inputs[name].shape, model.time) if model.spec.multiple == 1 else ())
    return Slot(name, array, array.shape, array.dtype)


def _outputs(model: StepModel, inputs: Arrays, states: Arrays) -> Arrays:
    """For what a step gives beside states; of which shapes that is, running one tells."""
    carried = {state.output for state in model.states}
    names = [name for name in model.outputs if name not in carried]
    got = guarded(model.session.run, names, {**inputs, **states}) if names else []
    return {name: np.empty_like(array, order="C") for name, array in zip(names, got, strict=True)}


def _bind(model: StepModel, inputs: Arrays, outputs: Arrays, before: Arrays, after: Arrays) -> ort.IOBinding:
    binding = model.session.io_binding()
    for name, array in {**inputs, **before}.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for name, array in {**outputs, **_by_output(model, after)}.items():
        binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))
    return binding


def _results(model: StepModel, outputs: Arrays, after: Arrays) -> Arrays:
    written = {**outputs, **_by_output(model, after)}
    return {name: written[name].squeeze(axes) for name, axes in model.outputs.items()}


def _by_output(model: StepModel, states: Arrays) -> Arrays:
    return {state.output: states[state.name] for state in model.states}
