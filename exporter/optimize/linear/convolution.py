"""Take the state of a causal convolution into one operator, in a stream: `CausalConvWithState` of ONNX Runtime.

    c = Concat(state, x); state' = the end of c; y = Conv(c)    becomes
    y, state' = CausalConvWithState(x, w, b, state)

A whole sequence stays a `Conv`, and an activation after it a node of its own: both are faster, as
docs/internals/lowering.md shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.forms import Form
from ..graph import array_of
from ..streaming.memory import END
from .operator import MICROSOFT

_TIME = 2


@dataclass(frozen=True)
class _Convolution:
    """A depthwise `Conv` over a chunk with what was before it, and the slice that is kept for the next chunk."""

    conv: ir.Node
    concat: ir.Node
    kept: ir.Node


def lower_causal_convolutions(model: ir.Model, form: Form) -> bool:
    """Replace every causal depthwise convolution of a stream, in place; returns whether there is one.

    With the form "native" none is replaced.
    """
    found = [each for each in map(_match, model.graph) if each is not None]
    if form == "native":
        return bool(found)
    for each in found:
        model.opset_imports[MICROSOFT] = 1
        _replace(model.graph, each)
    RemoveUnusedNodesPass()(model)
    return bool(found)


def _match(conv: ir.Node) -> _Convolution | None:
    concat = conv.inputs[0].producer() if conv.op_type == "Conv" and conv.inputs[0] is not None else None
    if concat is None or not _is_depthwise(conv) or not _is_joined(concat):
        return None
    reach = _sizes(conv.inputs[1])[_TIME] - 1
    state, whole = concat.inputs[0], concat.outputs[0]
    others = [use.node for use in whole.uses() if use.node is not conv]
    if len(others) != 1 or not _is_end(others[0], reach) or whole.is_graph_output():
        return None
    is_as_long = state is not None and state.shape is not None and state.shape[_TIME] == reach
    return _Convolution(conv, concat, others[0]) if is_as_long else None


def _is_depthwise(conv: ir.Node) -> bool:
    """Whether each channel is convolved by itself, over all that is given and no more.

    With taps apart the operator came later than without, in ONNX Runtime 1.30, so that these stay as they are.
    """
    attributes, sizes = conv.attributes, _sizes(conv.inputs[1])
    is_padded = any(attributes.get_ints("pads", []) or [])
    steps = {*(attributes.get_ints("strides", None) or []), *(attributes.get_ints("dilations", None) or [])}
    return (
        conv.domain == ""
        and conv.outputs[0].dtype == ir.DataType.FLOAT
        and attributes.get_string("auto_pad", "NOTSET") in ("NOTSET", "VALID")
        and not is_padded
        and steps <= {1}
        and len(sizes) == 3
        and sizes[:2] == [attributes.get_int("group", 1), 1]
    )


def _sizes(value: ir.Value | None) -> list[int]:
    """The sizes of a value; none where they are not known."""
    sizes = [] if value is None or value.shape is None else [*value.shape]
    known = [size for size in sizes if isinstance(size, int)]
    return known if len(known) == len(sizes) else []


def _is_joined(concat: ir.Node) -> bool:
    return (
        (concat.domain, concat.op_type) == ("", "Concat")
        and len(concat.inputs) == 2
        and concat.attributes["axis"].as_int() in (_TIME, -1)
    )


def _is_end(node: ir.Node, reach: int) -> bool:
    """Whether a node takes the last elements."""
    arrays = [array_of(value) for value in node.inputs[1:]]
    given = [None if array is None or array.size != 1 else int(array.reshape(())) for array in arrays]
    wanted = [-reach, END, _TIME, 1]
    return (node.domain, node.op_type) == ("", "Slice") and len(given) >= 3 and given == wanted[: len(given)]


def _replace(graph: ir.Graph, found: _Convolution) -> None:
    (state, chunk), (_, weights, *bias) = found.concat.inputs, found.conv.inputs
    old = [found.conv.outputs[0], found.kept.outputs[0]]
    outputs = [ir.Value(name=value.name, type=value.type, shape=value.shape) for value in old]
    inputs = [chunk, weights, bias[0] if bias else None, state]
    node = ir.Node(MICROSOFT, "CausalConvWithState", inputs, outputs=outputs, name=found.conv.name)
    graph.insert_before(found.conv, node)
    ir.convenience.replace_all_uses_with(old, outputs, replace_graph_outputs=True)
    for each in (found.conv, found.kept, found.concat):
        graph.remove(each, safe=True)
