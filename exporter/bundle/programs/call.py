"""What a program runs: a model file, tensors for its inputs, the outputs it asks for, and the states it carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...spec.artifact import Artifact
from ...spec.dims import parse
from ..manifest import Manifest

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Filled:
    """A tensor that holds `values` over and over, in row-major order."""

    dtype: str
    shape: tuple[int, ...]
    values: tuple[int | float, ...]


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
    def is_finite(self) -> bool:
        """Whether no input holds infinity or NaN, for which a language may need more than literals."""
        return all(math.isfinite(value) for filled in self.inputs.values() for value in filled.values)


def call_of(file: str, artifact: Artifact, manifest: Manifest) -> ProgramSpec:
    """A call at sizes at which the file is known to run; inputs are zero, or the least number that they may hold."""
    sizes = manifest.cases[0].sizes if manifest.cases else dict.fromkeys(manifest.signature.symbols, 1)
    states = artifact.stream.states if artifact.stream is not None else ()
    inputs = {
        name: Filled(spec.dtype, tuple(spec.sized(sizes)), (spec.range[0] if spec.range else 0,))
        for name, spec in manifest.signature.inputs.items()
    }
    resets = {state.name: _filled(state.dtype, state.initial(sizes)) for state in states}
    outputs = {name: parse(described)[0] for name, described in manifest.outputs.items()}
    return ProgramSpec(
        file,
        {**inputs, **resets},
        {**outputs, **{state.output: state.dtype for state in states}},
        {state.name: state.output for state in states},
        next((name for name in manifest.files_of(file) if name != file), None),
    )


def _filled(dtype: str, array: Array) -> Filled:
    flat = array.reshape(-1)
    periods = (size for size in range(1, flat.size + 1) if flat.size % size == 0)
    period = next(size for size in periods if np.array_equal(flat, np.resize(flat[:size], flat.size), equal_nan=True))
    if flat.dtype.kind != "f":
        return Filled(dtype, array.shape, tuple(int(value) for value in flat[:period]))
    # The shortest decimals that are read as the same values of the dtype.
    return Filled(dtype, array.shape, tuple(float(str(value)) for value in flat[:period]))
