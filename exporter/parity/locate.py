"""Find the first recurrent layer, time step and element at which a file and PyTorch differ."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto

from ..onnx_file import INLINE_LIMIT, read_onnx
from ..optimize.single_step import for_any_length
from ..runtimes.open import open_session
from ..runtimes.session import ProviderOptions
from .compare import Baseline, OutputResult, judge
from .layers import Layers
from .reference import largest_error

Array = NDArray[np.generic]
_NATIVE = ("RNN", "GRU", "LSTM", "DynamicQuantizeLSTM")
_STATES = ("h_n", "c_n")


def run_layers(
    file: Path,
    runtime: str,
    layers: Iterable[str],
    inputs: Mapping[str, Array],
    folder: Path,
    provider_options: ProviderOptions | None = None,
) -> dict[str, dict[str, Array]]:
    """What the layers `<module>.l<k>` compute in a runtime: `output` [T, N, D*H], and `h_n`, `c_n` [D, N, H].

    A value that the graph does not hold is left out. A copy of the file is written to `folder`.
    """
    model = read_onnx(file)
    model.graph.CopyFrom(for_any_length(model.graph))
    names = {layer: dict(_values(model.graph, layer)) for layer in layers}
    wanted = {name for values in names.values() for name in values.values()}
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - present))
    copy = folder / file.name
    onnx.save(model, copy, save_as_external_data=model.ByteSize() > INLINE_LIMIT)
    got = open_session(runtime, copy, (), provider_options).run(inputs)
    return {
        layer: {value: _arranged(value, got[name]) for value, name in values.items()} for layer, values in names.items()
    }


def _values(graph: GraphProto, layer: str) -> Iterator[tuple[str, str]]:
    """The names in the graph of a layer's values; a state that nothing reads is given one."""
    made = {name for node in graph.node for name in node.output if name}
    node = next((node for node in graph.node if node.name == layer), None)
    if node is not None and node.op_type in _NATIVE:
        yield "output", f"{layer}.output" if f"{layer}.output" in made else node.output[0]
        yield from _named_states(node, layer)
    elif f"{layer}.output" in made:
        yield "output", f"{layer}.output"
        if node is not None and node.op_type == "Scan" and f"{layer}.reverse" not in {node.name for node in graph.node}:
            yield from zip(_STATES, node.output[:-1], strict=False)


def _named_states(node: NodeProto, layer: str) -> Iterator[tuple[str, str]]:
    states = _STATES[: 2 if "LSTM" in node.op_type else 1]
    node.output.extend([""] * (1 + len(states) - len(node.output)))
    for k, state in enumerate(states, start=1):
        node.output[k] = node.output[k] or f"{layer}.{state}"
        yield state, node.output[k]


def _arranged(value: str, array: Array) -> Array:
    """ONNX's Y [T, D, N, H] as [T, N, D*H], a state of one direction [N, H] as [1, N, H]."""
    if value == "output" and array.ndim == 4:
        T, D, N, H = array.shape
        return array.transpose(0, 2, 1, 3).reshape(T, N, D * H)
    return array[None] if value != "output" and array.ndim == 2 else array


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
        return judge(f"{self.layer}.{self.value}", self.got, self.eager, self.exact, own, Baseline(0.0, 0.0))

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
    provider_options: ProviderOptions | None = None,
) -> list[LayerValue]:
    """Every layer that PyTorch and the file both show, in the order in which they ran, output before states."""
    with tempfile.TemporaryDirectory() as folder:
        got = run_layers(file, runtime, eager, inputs, Path(folder), provider_options)
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
