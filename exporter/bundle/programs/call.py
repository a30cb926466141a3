"""What a program runs: a model file, tensors for its inputs, the outputs it asks for, and the states it carries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...spec.artifact import Artifact
from ...spec.dims import parse
from ..manifest import Manifest
from .sample import least_sizes, values_for

# float16 holds every whole number up to it.
_EXACT = 2048

_CPP = {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN", str(-(2**63)): "INT64_MIN"}
_JAVASCRIPT = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
_PYTHON = {"inf": "np.inf", "-inf": "-np.inf", "nan": "np.nan"}


def cpp(filled: Filled) -> str:
    """A float's digits are those of float32: as a double, the largest of them would be too large for it."""
    numbers = _written(filled.values, _CPP)
    if filled.dtype != "float64":
        numbers = [f"{number}f" if set(number) & {".", "e"} else number for number in numbers]
    return ", ".join(numbers)


def cpp_filled(filled: Filled, element: str) -> str:
    """The shape and the values, each in braces; `element` is the type of a float16, which takes a float."""
    values = cpp(filled)
    if filled.dtype == "float16":
        values = ", ".join(f"{element}(float({value}))" for value in values.split(", "))
    return f"{{{', '.join(map(str, filled.shape))}}}, {{{values}}}"


def javascript(filled: Filled) -> str:
    """Bits for float16, which JavaScript does not have everywhere."""
    values = filled.values
    if filled.dtype == "float16":
        values = tuple(int(bits) for bits in np.array(values, np.float16).view(np.uint16))
    suffix = "n" if filled.dtype == "int64" else ""
    return ", ".join(f"{number}{suffix}" for number in _written(values, _JAVASCRIPT))


def python(filled: Filled) -> str:
    return ", ".join(_written(filled.values, _PYTHON))


def _written(values: Sequence[int | float], names: Mapping[str, str]) -> list[str]:
    """`names` are the language's words for numbers that it writes otherwise, such as `inf`."""
    return [names.get(text, text) for text in map(_shortest, values)]


def _shortest(value: int | float) -> str:
    """A small whole number without a point: any language takes it for a float."""
    small = abs(value) <= _EXACT and value == int(value) and math.copysign(1, value) == (-1 if value < 0 else 1)
    return str(int(value)) if isinstance(value, int) or small else repr(value)


Array = NDArray[np.generic]


@dataclass(frozen=True)
class Filled:
    """A tensor that holds `values` over and over, in row-major order."""

    dtype: str
    shape: tuple[int, ...]
    values: tuple[int | float, ...]

    def array(self) -> Array:
        return np.resize(np.array(self.values, self.dtype), self.shape)


@dataclass(frozen=True)
class ProgramSpec:
    """`outputs` are dtypes by name. `carried` says which output each state, an input, continues with.

    `beside` is the file with the model's weights, if they lie apart.
    """

    file: str
    inputs: Mapping[str, Filled]
    outputs: Mapping[str, str]
    carried: Mapping[str, str]
    beside: str | None

    @property
    def runs(self) -> int:
        """How often the program runs the file: two chunks of a stream."""
        return 2 if self.carried else 1

    @property
    def is_finite(self) -> bool:
        """Whether no input holds infinity or NaN, for which a language may need more than literals."""
        return all(math.isfinite(value) for filled in self.inputs.values() for value in filled.values)


def call_of(file: str, artifact: Artifact, manifest: Manifest) -> ProgramSpec:
    """A call at sizes at which the file is known to run, with values that its inputs may hold."""
    signature = manifest.signature
    sizes = manifest.cases[0].sizes if manifest.cases else least_sizes(signature, artifact.bounds)
    stream = artifact.stream
    if stream is not None and stream.time is not None and sizes.get(stream.time, 0) % stream.multiple:
        sizes = {**sizes, stream.time: stream.multiple}
    # TorchScript keeps them by itself.
    is_carried = artifact.stream is not None and artifact.opset is not None
    states = artifact.stream.states if artifact.stream is not None and is_carried else ()
    kept = () if artifact.stream is None or is_carried else artifact.stream.states
    within = {name for state in kept for name in (state.name, state.output)}
    depends = manifest.from_example or (manifest.source is not None and bool(manifest.source.cases))
    inputs = {
        name: Filled(spec.dtype, tuple(spec.sized(sizes)), values_for(spec, sizes, depends))
        for name, spec in signature.inputs.items()
        if name not in within
    }
    resets = {state.name: _filled(state.dtype, state.initial(sizes)) for state in states}
    outputs = {name: parse(described)[0] for name, described in manifest.outputs.items() if name not in within}
    return ProgramSpec(
        file,
        {**inputs, **resets},
        {**outputs, **{state.output: state.dtype for state in states}},
        {state.name: state.output for state in states},
        next((name for name in manifest.files_of(file) if name != file), None),
    )


def _filled(dtype: str, array: Array) -> Filled:
    flat = array.reshape(-1)
    if not flat.size:  # a state that grows
        return Filled(dtype, array.shape, (0,) if flat.dtype.kind != "f" else (0.0,))
    periods = (size for size in range(1, flat.size + 1) if flat.size % size == 0)
    period = next(size for size in periods if np.array_equal(flat, np.resize(flat[:size], flat.size), equal_nan=True))
    if flat.dtype.kind != "f":
        return Filled(dtype, array.shape, tuple(int(value) for value in flat[:period]))
    # The shortest decimals that are read as the same values of the dtype.
    return Filled(dtype, array.shape, tuple(float(str(value)) for value in flat[:period]))
