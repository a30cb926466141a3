"""Running sums: what came before is added."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from .flow import Sequence
from .graph_stream import GraphStream
from .memory import END
from .together import stepwise


def cumulative_sum(stream: GraphStream, node: ir.Node) -> None:
    """CumSum along the time; float32 is added in float64, as PyTorch does."""
    flow = stream.flow(node.inputs[0])
    axis = int(stream.measured.arrays(node.inputs[1])[0].reshape(())) % stream.measured.arrays(node.outputs[0])[0].ndim
    if not isinstance(flow, Sequence) or flow.axis != axis:
        stepwise(stream, node, broadcast=False)
        return
    if node.attributes.get_int("reverse", 0):
        stream.mixed(node, "sums from the end")
        return
    if flow.is_merged:
        stream.mixed(node)
        return
    value, output = node.inputs[0], node.outputs[0]
    assert value is not None
    exclusive = node.attributes.get_int("exclusive", 0)
    now = stream.filled(node, value, 0.0)
    own = stream.measured.arrays(output)[0].dtype
    wide = np.dtype(np.float64) if own == np.float32 else own
    if wide != own:
        now = stream.add(node, "Cast", [now], {"to": int(ir.DataType.from_numpy(wide))})
    before = stream.memory.state(node, _sums(stream, value, flow, wide))
    sums = stream.add(node, "CumSum", [now, node.inputs[1]], {"exclusive": exclusive})
    sums = stream.add(node, "Add", [sums, before])
    last = stream.part(node, sums, axis, -1, END)
    if exclusive:
        last = stream.add(node, "Add", [last, stream.part(node, now, axis, -1, END)])
    else:
        last = stream.add(node, "Identity", [last])
    stream.memory.carry(before, last)
    if wide != own:
        sums = stream.add(node, "Cast", [sums], {"to": int(ir.DataType.from_numpy(own))}, like=output)
    sums.type, sums.shape = output.type, output.shape
    stream.settle(node, output, replace(flow, steady=False), sums)


def _sums(stream: GraphStream, value: ir.Value, flow: Sequence, dtype: np.dtype) -> list[np.ndarray]:
    """The sum of the prefix in each run."""
    prefixes = [np.take(array, range(max(0, flow.shift)), flow.axis) for array in stream.measured.arrays(value)]
    return [prefix.astype(dtype).sum(flow.axis, keepdims=True).astype(dtype) for prefix in prefixes]
