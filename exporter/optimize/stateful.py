"""Make hidden initial and final states of recurrent layers inputs and outputs of the graph.

Works in place, on a graph whose names and shapes are those of the signature. Layers are `RNN`, `GRU`, `LSTM` and `Scan`
nodes of the main graph that run over time; one that runs within a time step (over frequencies, say) keeps its states.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..errors import CaptureError
from ..spec.signature import Signature
from ..spec.size_expression import names_in
from ..spec.streams import (
    STATELESS,
    Reset,
    State,
    StatelessError,
    StreamSpec,
    after_name,
    cannot_stream,
    declared_states,
    reset_of,
)
from .graph import defined_by, subgraphs
from .recurrent_states import (
    NATIVE,
    WITH_STATE,
    Shape,
    StateSlot,
    dtype_of,
    inputs_behind,
    layer_of,
    reset_value,
    state_slots,
)
from .streaming.graph_stream import GraphStream
from .streaming.rewrite import make_causal

# The input of an RNN, GRU or LSTM that holds the sequences' lengths (ONNX operator specification).
_LENGTHS = 4


def expose_states(model: ir.Model, signature: Signature, own: Sequence[State] = ()) -> StreamSpec:
    """Make every hidden state of every layer over time an input `<layer>.h0` and an output `<layer>.h_n`.

    A state that the model itself takes and returns, paired by the signature or by its names, stays as it is.

    Args:
        own: those among them that the model keeps from call to call. Where it has them, and no dimension T, one call
            after another is the stream: its layers then run within a call.

    Raises:
        CaptureError: a layer reads its sequence from the end or by given lengths, or starts from a state that is
            computed from the inputs; or no layer runs over time.
    """
    _open_lengths(model.graph, own)
    if own and "T" not in signature.symbols:
        return StreamSpec.of(None, _declared(signature, signature.states, own), own)
    if any(state.grows for state in own):  # a cache: a chunk goes on from there, as the model itself has it
        return StreamSpec.of(_time(model.graph, signature), _declared(signature, signature.states, own), own)
    time = _time(model.graph, signature)
    _check_sizes(signature, time)
    _check_inside(model.graph, time)
    recurrent = [node for node in model.graph if _is_recurrent(node)]
    for node in recurrent:  # a packed sequence is as long as its lengths say
        _check_lengths(node)
    nodes = [node for node in recurrent if _runs_over(node, time)]
    for node in nodes:
        _check_direction(node)
    pairs = {**_pairs_by_name(signature, time), **signature.states}
    slots = state_slots(nodes, [*signature.inputs, *signature.outputs])
    hidden = [slot for slot in slots if _is_hidden(slot, pairs, signature, time)]
    # An initial state may be computed by earlier layers, so all are read before any is replaced.
    values = [reset_value(model, slot, signature) for slot in hidden]
    stream = make_causal(model, signature, time, pairs)
    values = [_after_prefix(stream, slot) or value for slot, value in zip(hidden, values, strict=True)]
    _check_declared(stream, hidden)
    waiting = {} if stream is None else stream.waiting
    exposed = [_expose(model, slot, *value, waiting.get(slot.node)) for slot, value in zip(hidden, values, strict=True)]
    if stream is not None:
        stream.memory.forget_unused(len(signature.outputs))
    RemoveUnusedNodesPass()(model)
    remembered = () if stream is None else stream.memory.states
    states = (*_declared(signature, pairs, own), *remembered, *exposed)
    if not states:
        raise StatelessError(f"The model has no recurrent layer over {time} whose state could be carried. {STATELESS}")
    if stream is None:
        return StreamSpec.of(time, states, own)
    return StreamSpec.of(time, states, own, stream.multiple, stream.timings, stream.masked)


def _open_lengths(graph: ir.Graph, own: Sequence[State]) -> None:
    """What grows until a window is full was captured with a full one: the output has not that length in every call."""
    growing = {state.output: state.shape.index(state.grows) for state in own if state.grows}
    for output in graph.outputs:
        axis = growing.get(str(output.name))
        if axis is not None and output.shape is not None and isinstance(output.shape[axis], int):
            dims = list(output.shape)
            dims[axis] = ir.SymbolicDim(None)
            output.shape = ir.Shape(dims)


def _declared(signature: Signature, pairs: Mapping[str, str], own: Sequence[State]) -> tuple[State, ...]:
    """The states that are inputs and outputs of the model; those of its own begin as it does."""
    kept = {state.name: state for state in own}
    return tuple(kept.get(state.name, state) for state in declared_states(signature, pairs))


def _after_prefix(stream: GraphStream | None, slot: StateSlot) -> tuple[Shape, Reset] | None:
    """What a layer's state is after the steps that were padded before the first."""
    if stream is None or slot.node not in stream.resets:
        return None
    first = 0 if slot.node.op_type == "Scan" else 1
    shape, reset = stream.memory.begin(slot.node, stream.resets[slot.node][slot.after - first])
    return shape, reset_of(reset)


def _check_declared(stream: GraphStream | None, hidden: Sequence[StateSlot]) -> None:
    """A state that the model takes goes with its first step, so that no padded one may come before."""
    nodes = {slot.node for slot in hidden}
    for node in [] if stream is None else [*stream.resets, *stream.waiting]:
        if node not in nodes:
            raise cannot_stream(
                f"layer '{layer_of(node)[0]}' starts from a state that the model takes, and its sequence is padded or "
                "begins later. Start it from zeros."
            )


def _is_recurrent(node: ir.Node) -> bool:
    return node.op_type in WITH_STATE or (node.domain == "" and (node.op_type in NATIVE or node.op_type == "Scan"))


def _check_inside(graph: ir.Graph, time: str) -> None:
    """No state is carried of a layer in a branch, which need not run, or in the body of a loop, which runs it often."""
    bodies = (body for node in graph for body in subgraphs(node))
    for node in (inner for body in bodies for inner in ir.traversal.RecursiveGraphIterator(body)):
        names = [re.findall(r"\w+", str(dim)) for dim in (_sequence_dims(node) if _is_recurrent(node) else [])]
        if any(time in words for words in names):
            raise cannot_stream(
                f"layer '{layer_of(node)[0]}' runs over {time} in a branch of a decision or in the body of a loop. "
                "Call it outside."
            )


def _time(graph: ir.Graph, signature: Signature) -> str:
    """The dimension to cut chunks along: T, or the first that a recurrent layer runs over."""
    if "T" in signature.symbols:
        return "T"
    dims = [dim for node in graph if _is_recurrent(node) for dim in _sequence_dims(node)]
    names = [name for dim in dims for name in re.findall(r"\w+", str(dim)) if name in signature.symbols]
    if not names:
        raise StatelessError(
            "The model has no recurrent layer over a dynamic dimension, so it cannot be fed in chunks. "
            "Name the time dimension in the input, such as T in 'x: float32[T, N, 100]'."
        )
    return str(names[0])


def _check_sizes(signature: Signature, time: str) -> None:
    """Refuse a size that follows from the number of steps: for each chunk it would be another one."""
    for name, spec in signature.inputs.items():
        for dim in spec.derived:
            if time in names_in(dim):
                raise cannot_stream(f"'{name}' has a size of {dim}, which follows from the number of steps as a whole.")


def _sequences(node: ir.Node) -> Iterator[tuple[ir.Value, int]]:
    """The sequences that a node runs over, each with its time axis."""
    if node.op_type != "Scan":
        first, axes = 0, [WITH_STATE[node.op_type].time_axis if node.op_type in WITH_STATE else 0]
    else:
        many = node.attributes["num_scan_inputs"].as_int()
        first, axes = len(node.inputs) - many, [*(node.attributes.get_ints("scan_input_axes", None) or [0] * many)]
    for value, axis in zip(node.inputs[first:], axes, strict=False):
        assert value is not None
        yield value, axis


def _sequence_dims(node: ir.Node) -> list[int | ir.SymbolicDim]:
    """The lengths of the sequences that a node runs over, where they are known."""
    return [value.shape[axis] for value, axis in _sequences(node) if value.shape is not None]


def _runs_over(node: ir.Node, time: str) -> bool:
    """Whether a node runs over the dimension `time`; where its length is not known, it is taken to."""
    dims = _sequence_dims(node)
    unknown = not dims or any(isinstance(dim, ir.SymbolicDim) and dim.value is None for dim in dims)
    return unknown or any(time in re.findall(r"\w+", str(dim)) for dim in dims)


def _check_direction(node: ir.Node) -> None:
    layer = layer_of(node)[0]
    backwards = any(node.attributes.get_ints("scan_input_directions", []) or [])
    if backwards or node.attributes.get_string("direction", "forward") != "forward":
        raise cannot_stream(
            f"layer '{layer}' is bidirectional or reversed, so it starts at the end of the sequence. "
            "Use forward layers only."
        )


def _check_lengths(node: ir.Node) -> None:
    layer = layer_of(node)[0]
    if node.op_type in NATIVE and len(node.inputs) > _LENGTHS and node.inputs[_LENGTHS] is not None:
        # With padded sequences it would be refused for its direction.
        _check_direction(node)
        raise cannot_stream(
            f"layer '{layer}' reads packed sequences, which end where their lengths say. "
            "Give it the padded sequences instead."
        )


def _pairs_by_name(signature: Signature, time: str) -> dict[str, str]:
    """Inputs without a time dimension, and the output that continues each by its name: `h_n` for `h0`."""
    return {
        name: after_name(name)
        for name, spec in signature.inputs.items()
        if after_name(name) in signature.outputs and time not in spec.symbols
    }


def _is_hidden(slot: StateSlot, pairs: Mapping[str, str], signature: Signature, time: str) -> bool:
    """Whether a state is hidden: the model does not take it as an input.

    Raises:
        CaptureError: it is computed from the sequence, or from an input that no output continues.
    """
    given = inputs_behind(slot.initial, slot.node.graph)
    if not given or given & {*pairs}:
        return not given
    names = " and ".join(f"'{name}'" for name in sorted(given))
    if any(time in signature.inputs[name].symbols for name in given):
        raise cannot_stream(
            f"layer '{slot.layer}' starts from a state computed from {names}, and so needs the whole of it first."
        )
    raise CaptureError(
        f"The model cannot stream: layer '{slot.layer}' starts from {names}, and no output continues it. "
        "Name a state and its output h0 and h_n, or pair them in the signature's states; a state that is computed from "
        "an input must become an input itself."
    )


def _expose(model: ir.Model, slot: StateSlot, shape: Shape, reset: Reset, waits: ir.Value | None = None) -> State:
    """Replace one initial state by a new input of the graph, and make the final one an output."""
    dtype = dtype_of(slot)
    before = ir.Value(name=slot.name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
    if slot.before >= len(slot.node.inputs):
        slot.node.resize_inputs(slot.before + 1)
    make_room(model.graph, slot.name)
    slot.node.replace_input_with(slot.before, before)
    model.graph.inputs.append(before)
    after = f"{slot.name.removesuffix('0')}_n"
    make_room(model.graph, after)
    final = _final(model.graph, slot, before)
    if waits is not None:
        final.name = f"{slot.name}.ran"
        final = _kept(model.graph, waits, before, final)
    model.graph.outputs.append(final)
    model.graph.outputs[-1].name = after
    return State(slot.name, after, str(dtype.numpy().name), shape, reset)


def _final(graph: ir.Graph, slot: StateSlot, before: ir.Value) -> ir.Value:
    """The final state; where it is an output of the graph already, that becomes a copy."""
    if slot.after >= len(slot.node.outputs):
        slot.node.resize_outputs(slot.after + 1)
    final = slot.node.outputs[slot.after]
    final.type, final.shape = before.type, before.shape
    for i, value in enumerate(graph.outputs):
        if value is final:
            copy = ir.node("Identity", [final], name=f"{value.name}.copy")
            copy.outputs[0].name, copy.outputs[0].type, copy.outputs[0].shape = value.name, value.type, value.shape
            graph.append(copy)
            graph.outputs[i] = copy.outputs[0]
    return final


def _kept(graph: ir.Graph, waits: ir.Value, before: ir.Value, final: ir.Value) -> ir.Value:
    """The state before a chunk that the layer only waits in, else the one after."""
    kept = ir.node("Where", [waits, before, final])
    kept.outputs[0].type, kept.outputs[0].shape = before.type, before.shape
    graph.append(kept)
    return kept.outputs[0]


def make_room(graph: ir.Graph, name: str) -> None:
    """Rename values and weights of this name in the graph and in the bodies inside it."""
    for node in ir.traversal.RecursiveGraphIterator(graph):
        for value in defined_by(node):
            if value.name == name:
                value.name = f"{name}.inner"
    if name in graph.initializers:
        weight = graph.initializers.pop(name)
        weight.name = f"{name}.weight"
        graph.register_initializer(weight)
