"""Run a part of a graph in float64, fed with any values where it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ..graph import Array
from ..tried_session import tried_session
from .definition import Wide

_FLOAT, _DOUBLE = ir.DataType.FLOAT, ir.DataType.DOUBLE


class Float64Part:
    """The nodes between some values and others, with every float32 number a float64 one."""

    def __init__(self, model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        graph = ir.convenience.extract(model.graph.clone(), [*inputs], [*outputs])
        _widen(graph)
        self._outputs = [*outputs]
        self._session = tried_session(ir.Model(graph, ir_version=model.ir_version))
        self._inputs = {value.name for value in self._session.get_inputs()}

    def run(self, given: Mapping[str, Array]) -> list[Wide]:
        fed = {name: array for name, array in given.items() if name in self._inputs}
        return [np.asarray(array, np.float64) for array in self._session.run(self._outputs, fed)]


def _widen(graph: ir.Graph) -> None:
    for value in (*graph.inputs, *graph.initializers.values()):
        _widen_value(value)
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for value in (*node.outputs, *(each for each in node.inputs if each is not None)):
            _widen_value(value)
        if node.op_type == "ConstantOfShape" and "value" not in node.attributes:
            node.attributes["value"] = ir.AttrTensor("value", ir.tensor(np.zeros(1)))
        for attribute in list(node.attributes.values()):
            if attribute.type == ir.AttributeType.GRAPH:
                for value in attribute.as_graph().inputs:
                    _widen_value(value)
            elif attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == _FLOAT:
                wide = ir.tensor(attribute.as_tensor().numpy().astype(np.float64))
                node.attributes[attribute.name] = ir.AttrTensor(attribute.name, wide)
            elif (node.op_type, attribute.name) in (
                ("Cast", "to"),
                ("EyeLike", "dtype"),
            ) and attribute.as_int() == _FLOAT:
                node.attributes[attribute.name] = ir.AttrInt64(attribute.name, int(_DOUBLE))


def _widen_value(value: ir.Value) -> None:
    if value.dtype == _FLOAT:
        value.type = ir.TensorType(_DOUBLE)
    if value.const_value is not None and value.const_value.dtype == _FLOAT:
        value.const_value = ir.tensor(value.const_value.numpy().astype(np.float64), name=value.name)
