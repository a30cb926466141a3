"""Go through a graph once, node by node, and give a memory to everything that needs earlier steps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fractions import Fraction
from math import prod

import numpy as np
import onnx_ir as ir

from ...spec.signature import Signature
from ...spec.streams import OutputTiming, cannot_stream, past_name
from ..graph import Array, subgraphs
from ..recurrent_states import WITH_STATE
from .attention import follow_pairs
from .axes import by_axis
from .distances import Distances
from .edges import cut, pad
from .flow import Flow, Mixed, Own, Paired, Sequence, Sized, Still
from .graph_stream import GraphStream
from .joining import concatenate
from .layers import recur, within
from .lookup import look_up
from .measure import measure
from .memory import Memory
from .pairs import fixed_table, is_fixed_table, is_pairing
from .positions import count_up
from .repeating import resize
from .reshaping import expand, reshape
from .running import cumulative_sum
from .together import stepwise
from .windows import convolve, convolve_back, multiple_of

Rule = Callable[[GraphStream, ir.Node], None]

_RULES: Mapping[str, Rule] = {
    "Pad": pad,
    "Slice": cut,
    "Concat": concatenate,
    "Conv": convolve,
    "MaxPool": convolve,
    "AveragePool": convolve,
    "ConvTranspose": convolve_back,
    "CumSum": cumulative_sum,
    "Range": count_up,
    "Gather": look_up,
    "Reshape": reshape,
    "Resize": resize,
    "Expand": expand,
    "ConstantOfShape": expand,
    **dict.fromkeys(("RNN", "GRU", "LSTM", "Scan", *WITH_STATE), recur),
}

# What may be taken of a shape without computing: the rest of it is the same in a chunk.
_TAKES = ("Shape", "Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Cast", "Identity")


def make_causal(model: ir.Model, signature: Signature, time: str, declared: Mapping[str, str]) -> GraphStream | None:
    """Rewrite the graph for chunks; None where it cannot be run to find out, and is as it was.

    Args:
        declared: the inputs that are states which the model itself takes, each with the output that continues it.

    Raises:
        CaptureError: an output needs all steps at once, or what a stream begins with depends on the inputs.
    """
    measured = measure(model, signature, time, _strides(model.graph))
    if measured is None:
        return None
    original, taken = model.clone(), {*signature.inputs, *signature.outputs}
    stream = GraphStream(
        model,
        signature,
        time,
        measured,
        Memory(model, measured, taken, past_name(signature.symbols)),
        original,
        frozenset(declared),
        Distances(original, signature, time, measured),
    )
    for value, spec in zip(model.graph.inputs, signature.inputs.values(), strict=False):
        stream.flows[value] = _given(spec.shape, time, len(measured.runs))
    nodes, outputs = list(model.graph), list(model.graph.outputs)
    for node in nodes:
        _follow(stream, node)
    stream.multiple = multiple_of([flow for flow in stream.flows.values() if isinstance(flow, Sequence)])
    for k, output in enumerate(outputs):
        _give(stream, k, output, {*declared.values()})
    return stream


def _given(shape: tuple[str | int, ...], time: str, runs: int) -> Flow:
    axes = [axis for axis, dim in enumerate(shape) if dim == time]
    if len(axes) > 1:
        return Mixed(f"an input has {time} more than once")
    return Sequence(axes[0], Fraction(1), 0, 0, (1,) * runs, (1,) * runs) if axes else Still()


def _follow(stream: GraphStream, node: ir.Node) -> None:
    flows = [stream.flow(value) for value in node.inputs]
    if node.op_type in ("Shape", "Size"):
        _follow_shape(stream, node)
        return
    if is_fixed_table(stream, node):
        fixed_table(stream, node)
        return
    mixed = next((flow for flow in flows if isinstance(flow, Mixed)), None)
    if mixed is not None:
        for output in node.outputs:
            stream.flows[output] = mixed
    elif all(isinstance(flow, Still) for flow in flows) and not [*subgraphs(node)] and node.op_type != "Slice":
        stream.rewire(node)
    elif all(isinstance(flow, Still | Sized) for flow in flows) and _is_number(stream, node):
        _follow_shape(stream, node)
    elif is_pairing(stream, node):
        follow_pairs(stream, node)
    elif any(isinstance(flow, Own) for flow in flows):
        stepwise(stream, node, broadcast=False)
    elif [*subgraphs(node)] and node.op_type != "Scan":
        within(stream, node)
    else:
        _RULES.get(node.op_type, by_axis)(stream, node)


def _is_number(stream: GraphStream, node: ir.Node) -> bool:
    """Whether a node computes sizes from sizes, not something as long as a sequence."""
    return not any(stream.measured.varying_axes(output) for output in node.outputs if stream.measured.arrays(output))


def _follow_shape(stream: GraphStream, node: ir.Node) -> None:
    """A size, which the time changes or not; one that it only seemed to change becomes a constant."""
    stream.rewire(node)
    for output in node.outputs:
        arrays = stream.measured.arrays(output)
        same = all(np.array_equal(array, arrays[0]) for array in arrays[:3])
        if same and all(np.array_equal(array, arrays[0]) for array in arrays):
            constant = stream.memory.constant(f"{output.name}.size", arrays[0])
            stream.settle(node, output, Still(), constant)
        elif same and node.op_type in _TAKES:
            stream.settle(node, output, Still())
        else:
            stream.settle(node, output, Sized())


def _give(stream: GraphStream, k: int, output: ir.Value, continued: Collection[str]) -> None:
    """Let a stream give an output, no element before its step."""
    flow = stream.flow(output)
    name = str(output.name)
    if isinstance(flow, Mixed | Sized) and name in continued:
        return  # such as a running maximum or a count of steps, which takes in each chunk whole; verification tells
    if isinstance(flow, Mixed):
        raise cannot_stream(f"{flow.why}.")
    if isinstance(flow, Paired):
        raise cannot_stream(f"output '{name}' is a table of every step by every other.")
    if isinstance(flow, Sized):
        raise cannot_stream(f"output '{name}' follows from the number of steps of the whole sequence.")
    node = output.producer()
    if node is None:
        return
    now = stream.now(output)
    if isinstance(flow, Sequence):
        shift = min(flow.shift, 0)
        if shift != flow.shift and not flow.steady:
            now = _late_copy(stream, node, output, shift)
        timing = OutputTiming(
            -shift, flow.extra, int(flow.rate * stream.multiple) if flow.rate != 1 or stream.multiple > 1 else 0
        )
        if timing != OutputTiming():
            if flow.is_merged and (timing.delay or timing.extra):
                raise cannot_stream(f"output '{name}' has steps and sequences in one dimension, and is late.")
            stream.timings[name] = timing
    if now is not output:
        copy = ir.node("Identity", [now])
        copy.outputs[0].type, copy.outputs[0].shape = now.type, now.shape
        stream.model.graph.append(copy)
        output.name = f"{name}.whole"
        copy.outputs[0].name = name
        copy.outputs[0].type = output.type
        copy.outputs[0].shape = now.shape or output.shape
        stream.model.graph.outputs[k] = copy.outputs[0]


def _late_copy(stream: GraphStream, node: ir.Node, output: ir.Value, shift: int) -> ir.Value:
    end = ir.node("Identity", [output])
    stream.model.graph.append(end)
    end.meta.update(node.meta)
    late = stream.delayed(end, output, shift)
    stream.model.graph.remove(end, safe=True)
    return late


def _strides(graph: ir.Graph) -> int:
    """A number of steps that all strides in a graph divide."""
    found = 1
    for node in graph:
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            found *= prod({*(node.attributes.get_ints("strides", None) or [1])})
        elif node.op_type == "Slice" and len(node.inputs) > 4:
            found *= _number(node.inputs[4])
        elif node.op_type in ("Div", "Mod"):
            found *= _number(node.inputs[1])
    return found


def _number(value: ir.Value | None) -> int:
    """The one whole number that a constant holds, else 1."""
    array: Array | None = None if value is None or value.const_value is None else value.const_value.numpy()
    if array is None or array.dtype.kind != "i" or array.size != 1:
        return 1
    return max(1, abs(int(array.reshape(-1)[0])))
