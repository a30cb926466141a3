"""Where a fault is: the first recurrent layer, time step and element at which a file and PyTorch part."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from ..parity.compare import OutputResult, Typical, judge
from ..parity.layers import Layers
from ..parity.reference import largest_error
from ..runtimes import Launch
from .layer_values import run_layers

Array = NDArray[np.generic]


@dataclass(frozen=True)
class LayerValue:
    """One value of one layer: in the runtime, in PyTorch, and in float64 where the model has that form."""

    layer: str
    value: str
    got: Array
    eager: Array
    exact: Array | None

    @property
    def result(self) -> OutputResult:
        own = 0.0 if self.exact is None else largest_error(self.eager, self.exact)
        return judge(f"{self.layer}.{self.value}", self.got, self.eager, self.exact, own, Typical(0.0, 0.0))

    def __str__(self) -> str:
        """Where it first differs, or that it does not."""
        result = self.result
        if result.passed:
            return f"'{self.layer}' is right"
        if result.first is None:
            return f"the first layer that differs is '{self.layer}': its {self.value} {result.reason}"
        step = f" at time step {result.first[0]}" if self.value == "output" else ""
        reference = "" if self.exact is None else f" (in float64 {self.exact[result.first]:.9g})"
        return (
            f"the first layer that differs is '{self.layer}': its {self.value}{step}, at {list(result.first)}, is "
            f"{self.got[result.first]:.9g} where PyTorch has {self.eager[result.first]:.9g}{reference}"
        )


def layer_values(
    file: Path,
    runtime: str,
    inputs: Mapping[str, Array],
    eager: Layers,
    exact: Layers | None,
    launch: Launch | None = None,
) -> list[LayerValue]:
    """Every layer that PyTorch and the file both show, in the order in which they ran, output before states."""
    with tempfile.TemporaryDirectory() as folder:
        got = run_layers(file, runtime, eager, inputs, Path(folder), launch)
    return list(_paired(got, eager, exact))


def _paired(got: Mapping[str, Mapping[str, Array]], eager: Layers, exact: Layers | None) -> Iterator[LayerValue]:
    for layer, values in eager.items():
        for value, array in values.items():
            if value in got[layer]:
                yield LayerValue(layer, value, got[layer][value], array, None if exact is None else exact[layer][value])


def describe_first(values: Sequence[LayerValue]) -> str:
    """One sentence: the first layer that is wrong, or where else the fault must be."""
    if not values:
        return "No recurrent layer of torch.nn could be compared by itself."
    wrong = next((value for value in values if not value.result.passed), None)
    if wrong is None:
        return "Every recurrent layer is right in one pass; the fault is elsewhere."
    return f"{str(wrong)[0].upper()}{str(wrong)[1:]}."


def write_layers(path: Path, values: Sequence[LayerValue]) -> None:
    """Keep the values: `<layer>/<value>/runtime`, `.../eager` and `.../reference` in a safetensors file."""
    tensors: dict[str, Array] = {}
    for value in values:
        parts = {"runtime": value.got, "eager": value.eager, "reference": value.exact}
        tensors |= {
            f"{value.layer}/{value.value}/{part}": np.asarray(array, order="C")
            for part, array in parts.items()
            if array is not None
        }
    path.write_bytes(safetensors.numpy.save(tensors))
