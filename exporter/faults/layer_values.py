"""The values of recurrent layers inside an ONNX file, as outputs of a copy of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto

from ..onnx_file import INLINE_LIMIT, read_onnx
from ..onnx_file.any_length import for_any_length
from ..runtimes import Launch, open_session

Array = NDArray[np.generic]

_NATIVE = ("RNN", "GRU", "LSTM", "DynamicQuantizeLSTM")
_STATES = ("h_n", "c_n")


def run_layers(
    file: Path,
    runtime: str,
    layers: Iterable[str],
    inputs: Mapping[str, Array],
    folder: Path,
    launch: Launch | None = None,
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
    got = open_session(runtime, copy, (), launch).run(inputs)
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
