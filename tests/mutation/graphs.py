"""Editing ONNX models: finding nodes and tensors, and putting nodes before or behind a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from rnn_export.onnx_file import all_graphs, all_nodes

Array = NDArray[Any]
# From the name of a value that is right and the name of one that is to be wrong, the nodes in between.
Between = Callable[[str, str], Sequence[onnx.NodeProto]]

LAYERS = ("RNN", "GRU", "LSTM")

# A number in a file that is as large as this is a filler, or makes an output as large.
HUGE = 1e5


def nodes(model: onnx.ModelProto, *op_types: str) -> list[onnx.NodeProto]:
    """All nodes of those types, in loop bodies too."""
    return [node for node in all_nodes(model.graph) if node.op_type in op_types]


def bodies(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """The bodies of all loops."""
    yield from (graph for graph in all_graphs(model.graph) if graph is not model.graph)


def attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto | None:
    return next((each for each in node.attribute if each.name == name), None)


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    found = attribute(node, name)
    if found is not None:
        node.attribute.remove(found)
    node.attribute.append(helper.make_attribute(name, value))


def given(node: onnx.NodeProto, k: int) -> str:
    """The node's input k; empty where it is left out."""
    return node.input[k] if k < len(node.input) else ""


def set_input(node: onnx.NodeProto, k: int, value: str) -> None:
    while len(node.input) <= k:
        node.input.append("")
    node.input[k] = value


def constant(model: onnx.ModelProto, array: Any) -> str:
    """The name of a new initializer."""
    name = f"planted_{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return name


def tensor(model: onnx.ModelProto, name: str) -> Array | None:
    found = next((each for each in model.graph.initializer if each.name == name), None)
    return None if found is None else numpy_helper.to_array(found)


def has_huge(model: onnx.ModelProto) -> bool:
    arrays = (numpy_helper.to_array(each) for each in model.graph.initializer)
    return any(array.dtype == np.float32 and array.size and np.abs(array).max() >= HUGE for array in arrays)


def set_tensor(model: onnx.ModelProto, name: str, array: Array) -> None:
    found = next(each for each in model.graph.initializer if each.name == name)
    found.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))


def behind(model: onnx.ModelProto, value: str, between: Between) -> onnx.ModelProto:
    """Put nodes behind a value of the main graph: everything that reads it reads what they make of it."""
    graph = model.graph
    place, producer = next((k, node) for k, node in enumerate(graph.node) if value in node.output)
    right = f"{value}.right"
    producer.output[list(producer.output).index(value)] = right
    _insert(graph, place + 1, between(right, value))
    return loosened(model)


def before(model: onnx.ModelProto, value: str, between: Between) -> onnx.ModelProto:
    """Put nodes behind an input of the model: everything that reads it reads what they make of it."""
    wrong = f"{value}.wrong"
    for node in all_nodes(model.graph):
        for k, name in enumerate(node.input):
            if name == value:
                node.input[k] = wrong
    _insert(model.graph, 0, between(value, wrong))
    return loosened(model)


def swap_outputs(model: onnx.ModelProto, one: str, other: str) -> onnx.ModelProto:
    """Give two outputs each other's names; what reads them inside the graph reads what it read before."""
    for node in all_nodes(model.graph):
        for names in (node.input, node.output):
            names[:] = [f"{name}.right" if name in (one, other) else name for name in names]
    model.graph.node.extend([op("Identity", [f"{other}.right"], [one]), op("Identity", [f"{one}.right"], [other])])
    return loosened(model)


def _insert(graph: onnx.GraphProto, place: int, added: Sequence[onnx.NodeProto]) -> None:
    whole = [*list(graph.node)[:place], *added, *list(graph.node)[place:]]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in whole]
    del graph.node[:]
    graph.node.extend(kept)


def loosened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the shapes that the exporter noted, which a fault may have made untrue."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def dims(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def axis_of(value: onnx.ValueInfoProto, symbol: str) -> int | None:
    """The axis of that dimension."""
    return dims(value).index(symbol) if symbol in dims(value) else None


def is_float(value: onnx.ValueInfoProto) -> bool:
    return int(value.type.tensor_type.elem_type) == onnx.TensorProto.FLOAT


def floats(values: Sequence[onnx.ValueInfoProto]) -> list[onnx.ValueInfoProto]:
    return [value for value in values if is_float(value)]


def op(op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, outputs, **attributes)
