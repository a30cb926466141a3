"""Take states of linear attention out of loops: an operator computes them, and the loop goes on with what it gives.

    S, z, y = Scan <S' = S + k v; o = q S'; z' = f(z, o); y = z'> (S0, z0, q, k, v)    becomes
    o, S = LinearAttention(q, k, v, S0);    z, y = Scan <z' = f(z, o); y = z'> (z0, o)

A loop without states that is left is no loop: what it computes is computed for all steps at once.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.forms import Form
from ..empty_loops import may_be_empty
from ..graph import captured
from ..loops.batching import batch_all
from ..loops.pipeline import loops_of, move_invariants, shrink
from ..loops.scan_loop import Origin, ScanLoop
from ..recurrent_states import layer_of
from .matching import Recurrence, match
from .operator import MICROSOFT, OPERATOR, Written, is_writable, write


def lower_linear_attention(model: ir.Model, form: Form) -> bool:
    """Replace every state of a loop that an operator computes, in place; returns whether there is one.

    With the form "scan" none is replaced.
    """
    states = [(loop, state) for loop in loops_of(model.graph) if (state := _first(loop, form)) is not None]
    if form == "scan":
        return bool(states)
    for loop, state in states:
        model.opset_imports[MICROSOFT] = 1
        _take_out(loop, state, form)
    RemoveUnusedNodesPass()(model)
    return bool(states)


def _take_out(loop: ScanLoop, state: Recurrence, form: Form) -> None:
    """Take a state out of its loop, and then the others that an operator computes."""
    left = _without(loop, state)
    shrink(left)
    if not left.num_states:
        move_invariants(left)
        batch_all(left)
    elif (other := _first(left, form)) is not None:
        _take_out(left, other, form)


def move_to_standard(model: ir.Model) -> None:
    """Take ONNX's own operators for those of ONNX Runtime, with the same inputs; in place, from opset 27 on."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if (node.domain, node.op_type) == (MICROSOFT, OPERATOR):
            node.domain = ""
    model.opset_imports.pop(MICROSOFT, None)


def _first(loop: ScanLoop, form: Form) -> Recurrence | None:
    """The first state that an operator computes; the standard one is a `Scan` in ONNX Runtime, which needs a step."""
    # A dynamic size of an input is at least 1.
    sizes = {str(size.value) for value in loop.main.inputs for size in value.shape or () if not isinstance(size, int)}
    if form == "standard" and may_be_empty(loop, sizes):
        return None
    matches = (match(loop, k) for k in range(loop.num_states))
    return next((found for found in matches if found is not None and is_writable(loop, found)), None)


def _without(loop: ScanLoop, found: Recurrence) -> ScanLoop:
    """The loop without a state, reading from a sequence what it computed from that."""
    written = write(loop, found, layer_of(loop.node)[0])
    loop.graph.insert_before(loop.node, written.nodes)
    _read_from(loop, found.readout.value, written)
    return _drop_state(loop, found.k, written.final)


def _read_from(loop: ScanLoop, value: ir.Value, written: Written) -> None:
    element = ir.Value(name=f"{value.name}.element", type=value.type, shape=value.shape)
    ir.convenience.replace_all_uses_with(value, element, replace_graph_outputs=True)
    for i, output in enumerate(loop.body.outputs):
        if output is element:
            loop.body.outputs[i] = loop.copy(element, "copy")
    sequences = loop.node.inputs[loop.num_states :]
    rows = [*zip(sequences, loop.elements, loop.origins_of_elements, loop.input_axes, strict=True)]
    loop.set_inputs([*rows, (written.readout, element, Origin.FORWARD, 0)])


def _drop_state(loop: ScanLoop, k: int, final: ir.Value) -> ScanLoop:
    """The loop without its k-th state, whose final value is another."""
    old, body = loop.node, loop.body
    state = body.inputs[k]
    body.outputs.pop(k)
    _remove_readers(body, state)
    body.inputs.pop(k)
    attributes = dict(old.attributes)
    outputs = [value for i, value in enumerate(old.outputs) if i != k]
    results = [ir.Value(name=value.name, type=value.type, shape=value.shape) for value in outputs]
    inputs = [value for i, value in enumerate(old.inputs) if i != k]
    old.attributes.clear()
    node = ir.Node("", "Scan", inputs, attributes, outputs=results, name=old.name)
    new = ScanLoop(node, loop.main)
    loop.graph.insert_before(old, node)
    final.name = old.outputs[k].name or final.name
    for value in old.outputs:
        value.name = None
    ir.convenience.replace_all_uses_with([*outputs, old.outputs[k]], [*results, final], replace_graph_outputs=True)
    loop.graph.remove(old, safe=True)
    return new


def _remove_readers(body: ir.Graph, state: ir.Value) -> None:
    """Remove the nodes of a body that compute nothing but what is gone."""
    for node in reversed(list(body)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            body.remove(node, safe=True)
    assert not state.uses(), [use.node for use in state.uses()]
    assert not any(state in captured(node) for node in body)
