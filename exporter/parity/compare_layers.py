"""Compare each recurrent layer of a file with PyTorch's, to find the first layer, time step and element that differ.

A layer has the name of its ONNX node, `<module>.l<k>`; its values are `output` [T, N, D*H], `h_n` and `c_n` [D, N, H].
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import safetensors.numpy
import torch
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..onnx_file import INLINE_LIMIT, read_onnx
from ..optimize.one_step.single_step import for_any_length
from ..pytorch.run import run_eager
from ..runtimes.onnx_check import external_file
from ..runtimes.open import open_session
from ..runtimes.session import ProviderOptions
from ..whole_file import write_whole
from .compare import OutputResult, judge
from .limits import tolerances
from .reference import Reference, distance

Array = NDArray[np.generic]
Layers = dict[str, dict[str, Array]]

_KINDS = (nn.RNN, nn.GRU, nn.LSTM)

_FORWARDS = {kind.forward for kind in _KINDS}

_NATIVE = ("RNN", "GRU", "LSTM", "DynamicQuantizeLSTM")

_STATES = ("h_n", "c_n")


@dataclass(frozen=True)
class LayerValue:
    """One value of one layer: in the runtime, in PyTorch, and in float64; None if the model has no float64 form."""

    layer: str
    value: str
    got: Array
    eager: Array
    exact: Array | None

    @property
    def result(self) -> OutputResult:
        eager, exact = {"": self.eager}, None if self.exact is None else {"": self.exact}
        errors = distance([] if self.exact is None else [self.eager], self.eager if self.exact is None else self.exact)
        still = np.zeros(self.eager.shape, bool)
        reference = Reference(eager, exact, {"": errors}, {"": np.zeros_like(errors)}, {"": still})
        limits = tolerances(reference, {})[""]
        return judge(f"{self.layer}.{self.value}", self.got, self.eager, self.exact, limits)

    def __str__(self) -> str:
        """The first difference, or that there is none."""
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
    """Every layer found both in PyTorch and in the file, in the order in which they ran, output before states."""
    with tempfile.TemporaryDirectory() as folder:
        got = run_layers(file, runtime, eager, inputs, Path(folder), provider_options)
    return list(_paired(got, eager, exact))


def _paired(got: Mapping[str, Mapping[str, Array]], eager: Layers, exact: Layers | None) -> Iterator[LayerValue]:
    for layer, values in eager.items():
        for value, array in values.items():
            if value in got[layer]:
                yield LayerValue(layer, value, got[layer][value], array, None if exact is None else exact[layer][value])


def describe_first(values: Sequence[LayerValue]) -> str:
    """One sentence: the first wrong layer, or that no layer is wrong."""
    if not values:
        return "No recurrent layer of torch.nn could be compared on its own."
    wrong = next((value for value in values if not value.result.passed), None)
    if wrong is None:
        return "Every recurrent layer is right in one pass; the fault is elsewhere."
    return f"{str(wrong)[0].upper()}{str(wrong)[1:]}."


def write_layers(path: Path, values: Sequence[LayerValue]) -> None:
    """Write the values to a safetensors file, as `<layer>/<value>/runtime`, `.../eager` and `.../reference`."""
    tensors: dict[str, Array] = {}
    for value in values:
        parts = {"runtime": value.got, "eager": value.eager, "reference": value.exact}
        tensors |= {
            f"{value.layer}/{value.value}/{part}": np.asarray(array, order="C")
            for part, array in parts.items()
            if array is not None
        }
    write_whole(path, safetensors.numpy.save(tensors))


def trace_layers(model: nn.Module, tensors: Mapping[str, Tensor]) -> Layers:
    """Run the model in PyTorch and return the values of its recurrent layers, in the order in which they ran.

    Layers that run more than once, over packed sequences or without a batch are left out, and so are subclasses with
    their own `forward`: their values have other names or shapes in a graph.
    """
    found: dict[str, list[dict[str, dict[str, Array]]]] = {}

    def record(name: str, module: nn.RNNBase, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        x, hx = _arguments(*args, **kwargs)
        usual = dict(_unstacked(name, module, x, hx)) if isinstance(x, Tensor) and x.dim() == 3 else {}
        found.setdefault(name, []).append(usual)

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, _KINDS) and type(module).forward in _FORWARDS:
                hook = partial(record, name)
                hooks.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
        run_eager(model, tensors)
    return {layer: values for runs in found.values() if len(runs) == 1 for layer, values in runs[0].items()}


def _arguments(input: Any, hx: Any = None) -> tuple[Tensor | PackedSequence, Any]:
    return input, hx


def _unstacked(name: str, module: nn.RNNBase, x: Tensor, hx: Any) -> Iterator[tuple[str, dict[str, Array]]]:
    """Run a module's layers one at a time."""
    y = x.transpose(0, 1) if module.batch_first else x
    states = () if hx is None else hx if isinstance(hx, tuple) else (hx,)
    directions = 2 if module.bidirectional else 1
    for k in range(module.num_layers):
        layer = _layer(module, k)
        given = tuple(state[k * directions : (k + 1) * directions].contiguous() for state in states)
        with torch.no_grad():
            y, after = layer(y, given if len(given) > 1 else next(iter(given), None))
        finals = after if isinstance(after, tuple) else (after,)
        values = zip(("output", "h_n", "c_n"), (y, *finals), strict=False)
        yield f"{name or 'rnn'}.l{k}", {value: tensor.numpy().copy() for value, tensor in values}


def _layer(module: nn.RNNBase, k: int) -> nn.RNNBase:
    """Layer k of a module as a module of one layer that shares its weights."""
    inputs = int(getattr(module, f"weight_ih_l{k}").shape[1])
    options: dict[str, Any] = {"bias": module.bias, "bidirectional": module.bidirectional, "device": "meta"}
    if isinstance(module, nn.RNN):
        options["nonlinearity"] = module.nonlinearity
    if module.proj_size:
        options["proj_size"] = module.proj_size
    kind = next(kind for kind in _KINDS if isinstance(module, kind))
    layer: nn.RNNBase = kind(inputs, module.hidden_size, **options)
    for name in dict(layer.named_parameters()):
        weight = getattr(module, name.replace("_l0", f"_l{k}"))
        setattr(layer, name, nn.Parameter(weight.detach(), requires_grad=False))
    return layer


def run_layers(
    file: Path,
    runtime: str,
    layers: Iterable[str],
    inputs: Mapping[str, Array],
    folder: Path,
    provider_options: ProviderOptions | None = None,
) -> dict[str, dict[str, Array]]:
    """Run an ONNX file in a runtime and return the values of these layers; what the graph does not hold is left out.

    Writes a copy of the file, with the values as outputs, to `folder`.
    """
    model = read_onnx(file)
    model.graph.CopyFrom(for_any_length(model.graph))
    names = {layer: dict(_values(model.graph, layer)) for layer in layers}
    wanted = {name for values in names.values() for name in values.values()}
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - present))
    copy = folder / file.name
    large = model.ByteSize() > INLINE_LIMIT
    onnx.save(model, copy, save_as_external_data=large, location=external_file(copy).name)
    got = open_session(runtime, copy, (), provider_options).run(inputs)
    return {
        layer: {value: _arranged(value, got[name]) for value, name in values.items()} for layer, values in names.items()
    }


def _values(graph: GraphProto, layer: str) -> Iterator[tuple[str, str]]:
    """The names of a layer's values in the graph; a state that nothing reads is given a name."""
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
    """ONNX's Y [T, D, N, H] as [T, N, D*H], and a state of one direction [N, H] as [1, N, H]."""
    if value == "output" and array.ndim == 4:
        T, D, N, H = array.shape
        return array.transpose(0, 2, 1, 3).reshape(T, N, D * H)
    return array[None] if value != "output" and array.ndim == 2 else array
