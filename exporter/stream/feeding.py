"""Check what is fed to a stream: names, shapes and dtypes, with an error that names what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, did_you_mean, type_in_words
from ..spec.signature import TensorSpec
from ..spec.streams import StreamSpec
from .session import StepModel, time_axes

Array = NDArray[Any]
Sizes = Mapping[str, int]
_SIZES = "Other sizes are given when a stream is made, such as sizes={'N': 2}."


def by_name(model: StepModel, arrays: Sequence[Array], named: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs by name, those without one in the model's order.

    Raises:
        InputError: there are more than the model takes, one is given twice, or missing, or has no such name.
    """
    if len(arrays) > len(model.inputs):
        raise InputError(f"{len(arrays)} inputs are given, and the model takes {', '.join(model.inputs)}. Give those.")
    ordered = dict(zip(model.inputs, arrays, strict=False))
    for name in named:
        if name in ordered:
            raise InputError(f"Input '{name}' is given twice, by its place and by its name. Give it once.")
    given = {**ordered, **named}
    if given.keys() != model.inputs.keys():
        check_names(model, given)
    return given


def check_names(model: StepModel, given: Mapping[str, Any]) -> None:
    """Raise an `InputError` unless exactly the model's inputs are given."""
    for name in given:
        if name in (state.name for state in model.states):
            raise InputError(f"'{name}' is a state, which the stream keeps. Assign to its states to change one.")
        if name not in model.inputs:
            known = ", ".join(model.inputs)
            raise InputError(f"There is no input '{name}'.{did_you_mean(name, model.inputs)} Inputs are {known}.")
    for name, spec in model.inputs.items():
        if name not in given:
            raise InputError(f"Input '{name}' is missing; it is {spec}. Give every input with every step and chunk.")


def one_step(spec: TensorSpec, sizes: Sizes, stream: StreamSpec) -> Array:
    """An input of the fewest time steps, of the least values that are allowed; zero where any are."""
    fewest = {} if stream.time is None else {stream.time: stream.multiple}
    return np.full(spec.sized({**sizes, **fewest}), spec.filler, spec.dtype)


def checked_chunk(model: StepModel, given: Mapping[str, Array], sizes: Sizes) -> dict[str, Array]:
    """The inputs of a chunk, of one length, in memory as ONNX Runtime takes them.

    Raises:
        InputError: one is no numpy array, or has another shape or dtype; or there is no time step in them.
    """
    lengths = []
    for name, spec in model.inputs.items():
        array = given[name]
        if not _is_array(array, spec):
            raise _wrong_kind(name, array, spec)
        if array.ndim == len(spec.shape):
            lengths += [array.shape[axis] for axis in time_axes(spec.shape, model.time)]
    known = dict(sizes) if model.time is None or not lengths else {**sizes, model.time: lengths[0]}
    for name, spec in model.inputs.items():
        if any(dim not in known for dim in spec.symbols) or given[name].shape != spec.sized(known):
            raise _wrong_chunk(name, given[name], spec, known)
    if 0 in lengths:
        raise InputError("The chunk has no time step. Feed at least one.")
    unit = model.spec.multiple
    if any(length % unit for length in lengths):
        raise InputError(f"The chunk has {lengths[0]} steps, and the model takes a multiple of {unit}. Feed so many.")
    return {name: np.asarray(array, order="C") for name, array in given.items()}


def wrong_step(name: str, given: Any, spec: TensorSpec, sizes: Sizes, stream: StreamSpec) -> InputError:
    """The error for what cannot be fed as one time step."""
    time = stream.time
    if not _is_array(given, spec):
        return _wrong_kind(name, given, spec)
    if time is not None and stream.multiple > 1:
        return _wrong_chunk(name, given, spec, {**sizes, time: stream.multiple})
    dims = [dim for dim in spec.shape if dim != time]
    longer = given.ndim == len(spec.shape) > len(dims)
    remedy = f"A step has no dimension {time}; use run for a chunk." if longer else _SIZES
    return InputError(f"A step takes '{name}' as {_spell(dims, sizes)}, not {[*given.shape]}. {remedy}")


def describe(value: Any) -> str:
    """`float32[1, 2, 20]`, or the type of what is no array."""
    return f"{value.dtype}{[*value.shape]}" if isinstance(value, np.ndarray) else type_in_words(value)


def _is_array(given: Any, spec: TensorSpec) -> bool:
    return isinstance(given, np.ndarray) and given.dtype == spec.dtype


def _wrong_chunk(name: str, given: Array, spec: TensorSpec, known: Sizes) -> InputError:
    remedy = "Use step for one time step." if given.ndim == len(spec.shape) - 1 else _SIZES
    return InputError(f"A chunk takes '{name}' as {_spell(spec.shape, known)}, not {[*given.shape]}. {remedy}")


def _wrong_kind(name: str, given: Any, spec: TensorSpec) -> InputError:
    if isinstance(given, np.ndarray):
        return InputError(
            f"Input '{name}' is {given.dtype}, and the model takes {spec.dtype}. Give it as {spec.dtype}."
        )
    return InputError(f"Input '{name}' is {describe(given)}, and not a numpy array. Give one of {spec.dtype}.")


def _spell(dims: Sequence[str | int], sizes: Sizes) -> str:
    """`[T, N=1, 100]`: the sizes that are known beside their names."""
    return f"[{', '.join(f'{dim}={sizes[str(dim)]}' if dim in sizes else str(dim) for dim in dims)}]"
