"""From a translated program to the finished ONNX graph: lowered, optimized, states exposed, quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import onnx_ir as ir
from msgspec import structs

from ..capture.operators import DOMAIN
from ..errors import CaptureError, InputError
from ..optimize.bounds import Bounds, enforce_bounds
from ..optimize.empty_loops import guard_empty_loops
from ..optimize.enforced_sizes import enforce_following_sizes
from ..optimize.linear.convolution import lower_causal_convolutions
from ..optimize.linear.guarded import take_operators
from ..optimize.linear.zero_states import leave_out_zero_states
from ..optimize.names import describe
from ..optimize.one_step.branch import runs_over_time
from ..optimize.one_step.single_step import add_single_step
from ..optimize.pipeline import optimize
from ..optimize.quantization import Original, quantize_weights
from ..optimize.state_names import rename_states
from ..optimize.stateful import expose_states
from ..spec.forms import Form, Forms, unrolls
from ..spec.signature import Signature
from ..spec.streams import State, StreamSpec
from .control_flow import write_control_flow
from .cumulative import lower_cummax, lower_cumprod, lower_logcumsumexp
from .forms import CAUSAL_CONVOLUTION, KINDS, LINEAR_ATTENTION, forms_of
from .linear_system import lower_inverse, lower_solve
from .native import lower_native
from .ragged import Padded, Ragged
from .scan import lower_scan
from .stack import Stack, read_stack
from .triangular import lower_solve_triangular

_LOWERINGS: Mapping[Form, Callable[[Stack, ir.tape.Tape], list[ir.Value]]] = {
    "native": lower_native,
    "scan": lower_scan,
    "step": lower_scan,  # `add_single_step` inlines it, once the states are known
}


@dataclass(frozen=True)
class Lowered:
    """The ONNX model at opset 18, and the form that each kind of layer in it has.

    `scan_only` are the layers that ONNX has no operator for, by name, each with the reason. `has_loops` says whether
    there are loops that are not layers.
    """

    model: ir.Model
    forms: Forms
    scan_only: Mapping[str, str]
    has_loops: bool


def lower(translated: ir.Model, forms: Forms) -> Lowered:
    """A copy of a translated program, in standard operators only.

    Args:
        translated: a captured program after `translate`.
        forms: the form of each kind of layer, as `forms_for` gives them.

    Raises:
        CaptureError: a recurrent layer's weights are not constants.
    """
    model = translated.clone()
    write_control_flow(model)
    has_loops = any(node.op_type == "Scan" for node in model.graph)
    tape = ir.tape.Tape()
    ragged: dict[ir.Graph, Ragged] = {}
    choice = _Choice(forms)
    for node in [node for node in ir.traversal.RecursiveGraphIterator(model.graph) if node.domain == DOMAIN]:
        assert isinstance(node.graph, ir.Graph)
        _replace(node.graph, node, tape, ragged.setdefault(node.graph, Ragged(tape)), choice)
    if model.graph in ragged:
        ragged[model.graph].name_sizes(model.graph)
    _drop_unused_initializers(model.graph)
    for value in tape.initializers:
        while value.name in model.graph.initializers:
            value.name = f"{value.name}_"
        model.graph.register_initializer(value)
    model.opset_imports.pop(DOMAIN, None)
    return Lowered(model, choice.taken, choice.scan_only, has_loops)


class _Choice:
    """Chooses a form for each stack, and remembers it by kind of layer."""

    def __init__(self, forms: Forms) -> None:
        self._forms = forms
        self.taken: dict[str, Form] = {}
        self.scan_only: dict[str, str] = {}

    def of(self, stack: Stack) -> Form:
        if stack.is_projected:
            self.scan_only[stack.prefix] = "ONNX's LSTM has no projection"
            return "scan"
        form = self._forms[stack.kind]
        if stack.lengths is not None:
            form = self._forms.get("lengths", form)
        if stack.dtype == ir.DataType.DOUBLE:
            form = self._forms.get("float64", form)
        self.taken[stack.kind] = form
        return form


def _replace(graph: ir.Graph, node: ir.Node, tape: ir.tape.Tape, ragged: Ragged, choice: _Choice) -> None:
    before = len(tape.nodes)
    recurrence = partial(_recurrence, tape=tape, ragged=ragged, choice=choice)
    lowerings: Mapping[str, Callable[[ir.Node], list[ir.Value]]] = {
        "recurrent": recurrence,
        "lstm": recurrence,
        "pack": ragged.pack,
        "pad": ragged.pad,
        "logcumsumexp": partial(lower_logcumsumexp, tape=tape),
        "cumprod": partial(lower_cumprod, tape=tape),
        "cummax": partial(lower_cummax, tape=tape),
        "cummin": partial(lower_cummax, tape=tape),
        "solve_triangular": partial(lower_solve_triangular, tape=tape),
        "solve": partial(lower_solve, tape=tape),
        "inverse": partial(lower_inverse, tape=tape),
    }
    values = lowerings[node.op_type](node)
    for old, new in zip(node.outputs, values, strict=True):
        new.type, new.shape = old.type, old.shape
    graph.insert_before(node, tape.nodes[before:])
    ir.convenience.replace_all_uses_with(node.outputs, values, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _recurrence(node: ir.Node, tape: ir.tape.Tape, ragged: Ragged, choice: _Choice) -> list[ir.Value]:
    """Lower a stack; over packed data, y is packed again."""
    stack = read_stack(node)
    lowering = _LOWERINGS[choice.of(stack)]
    lengths = stack.lengths
    if lengths is None:
        return lowering(stack, tape)
    y, *finals = lowering(replace(stack, x=ragged.padded(stack.x, lengths).value), tape)
    return [ragged.packed(Padded(y, is_zero_beyond=True), lengths), *finals]


def _drop_unused_initializers(graph: ir.Graph) -> None:
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]


@dataclass(frozen=True)
class OnnxGraph:
    """A graph ready to be written, the form of each kind of layer in it, and its stream if it has one.

    `scan_only` are the layers that ONNX has no operator for, by name, each with the reason. `quantized` are the
    original weights of int8 tensors, by the tensors' names.
    """

    model: ir.Model
    forms: Forms
    scan_only: Mapping[str, str]
    stream: StreamSpec | None
    quantized: Mapping[str, Original]

    def without_weights(self) -> OnnxGraph:
        """Let go of the weights: what is written is in memory a second time, and rewrite rules hold on to the graph."""
        for value in self.model.graph.initializers.values():
            value.const_value = None
        return replace(self, quantized={})


def build_graph(
    translated: ir.Model,
    signature: Signature,
    forms: Forms,
    opset: int,
    stateful: bool,
    int8: bool,
    bounds: Bounds | None = None,
    own: Sequence[State] = (),
    metadata: Mapping[str, str] = MappingProxyType({}),
    state_names: str | None = None,
) -> OnnxGraph:
    """The graph of a translated program, which is not changed, with layers in these forms.

    Args:
        bounds: the sizes that the program holds for; the graph raises beyond them. A chunk may be shorter.
        own: the states among its inputs that the model keeps from call to call.
        metadata: what its user adds to the file's metadata.
        state_names: a template for the names of the states that are exposed.

    Raises:
        CaptureError: an operator has no form at `opset`, or a stateful model cannot be fed in chunks.
        InputError: a kind of layer has no int8 weights in its form, the model has no weights to store as int8, or the
            template gives two states one name.
    """
    optimized = _optimized(translated, signature, forms, opset)
    finish = partial(
        _finished, signature=signature, int8=int8, bounds=bounds or {}, metadata=metadata, state_names=state_names
    )
    if not stateful:
        return finish(optimized, None)
    is_masked = take_operators(optimized.lowered.model)
    try:
        stream = expose_states(optimized.lowered.model, signature, own)
        stream = structs.replace(stream, masked=True) if is_masked else stream
    except CaptureError:
        if optimized.taken.get(LINEAR_ATTENTION, "scan") == "scan":
            raise
        # A loop may be fed in chunks where the operator in its place is not.
        optimized = _optimized(translated, signature, {**forms, LINEAR_ATTENTION: "scan"}, opset)
        stream = expose_states(optimized.lowered.model, signature, own)
    return finish(optimized, stream)


@dataclass(frozen=True)
class _Optimized:
    """A lowered model after all passes, the forms that were asked for, and those that its layers have."""

    lowered: Lowered
    asked: Forms
    taken: Forms


def _optimized(translated: ir.Model, signature: Signature, forms: Forms, opset: int) -> _Optimized:
    lowered = lower(translated, forms)
    linear = forms.get(LINEAR_ATTENTION, "scan")
    found = optimize(lowered.model, signature, opset, linear)
    return _Optimized(lowered, forms, {**lowered.forms, **({LINEAR_ATTENTION: linear} if found else {})})


def _finished(
    optimized: _Optimized,
    stream: StreamSpec | None,
    signature: Signature,
    int8: bool,
    bounds: Bounds,
    metadata: Mapping[str, str],
    state_names: str | None,
) -> OnnxGraph:
    lowered, taken = optimized.lowered, optimized.taken
    if stream is not None:
        if state_names is not None:
            stream = rename_states(lowered.model, signature, stream, state_names)
        convolution = optimized.asked.get(CAUSAL_CONVOLUTION, "native")
        if lower_causal_convolutions(lowered.model, convolution):
            taken = {**taken, CAUSAL_CONVOLUTION: convolution}
        taken = _in_stream(lowered, optimized.asked, taken, stream)
        if stream.time is not None and unrolls(taken):
            add_single_step(lowered.model, signature, stream.time)
    leave_out_zero_states(lowered.model)
    quantized = _quantize(lowered.model, taken) if int8 else {}
    guard_empty_loops(lowered.model, signature)
    enforce_following_sizes(lowered.model, signature)
    enforce_bounds(lowered.model, signature, _of_a_chunk(bounds, stream))
    describe(lowered.model, signature, stream, metadata)
    return OnnxGraph(lowered.model, taken, lowered.scan_only, stream, quantized)


def _in_stream(lowered: Lowered, asked: Forms, taken: Forms, stream: StreamSpec) -> Forms:
    """The forms in a stream: loops that are not layers have one too, and "step" is only where one step is a chunk."""
    graph, time = lowered.model.graph, stream.time
    loops = lowered.has_loops and time is not None and any(runs_over_time(node, graph, time) for node in graph)
    forms = {**taken, **({"loop": asked["loop"]} if loops and "loop" in asked else {})}
    return {kind: "scan" if form == "step" and stream.multiple > 1 else form for kind, form in forms.items()}


def _of_a_chunk(bounds: Bounds, stream: StreamSpec | None) -> Bounds:
    """The bounds of what a file is fed at a time."""
    if stream is None or stream.time is None or stream.time not in bounds:
        return bounds
    return {**bounds, stream.time: {end: size for end, size in bounds[stream.time].items() if end != "min"}}


def _quantize(model: ir.Model, forms: Forms) -> Mapping[str, Original]:
    for kind, form in forms.items():
        if kind in KINDS and form not in forms_of(kind, int8=True):
            raise InputError(
                f"ONNX Runtime has no {kind[:3].upper()} operator with int8 weights. "
                "Leave out `lowering='native'` or `quantize`."
            )
    quantized = quantize_weights(model)
    if not quantized:
        raise InputError("The model has no float32 weights to store as int8. Leave out `quantize`.")
    return quantized
