"""Hidden initial and final states of recurrent layers become inputs and outputs of the graph.

Works in place, after names and shapes are those of the signature. Layers are `RNN`, `GRU`, `LSTM` and `Scan` nodes of
the main graph that run over time; a layer that runs within one time step (over frequencies, say) keeps its states to
itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, takewhile

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..capture.output_dims import infer_dims
from ..errors import CaptureError
from ..signature import Signature, is_name
from ..states import Reset, State, Stream, after_name, declared_states, reset_of

_NATIVE = {"RNN": ("h0",), "GRU": ("h0",), "LSTM": ("h0", "c0")}
# Of an RNN, GRU or LSTM node (ONNX operator specification): the lengths, and the first of the initial states.
_LENGTHS = 4
_INITIAL = 5
# Sizes that initial states are computed at, to see what they depend on.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)
_PRODUCT = re.compile(r"\w+(\*\w+)*")
STATELESS = "Export it without --stateful (in Python: stateful=True)."


@dataclass(frozen=True)
class _Place:
    """One state of one layer: which input and which output of the node, and what they are to be called."""

    layer: str
    node: ir.Node
    before: int
    after: int
    name: str

    @property
    def initial(self) -> ir.Value | None:
        return self.node.inputs[self.before] if self.before < len(self.node.inputs) else None


def expose_states(model: ir.Model, signature: Signature) -> Stream:
    """Make every hidden state of every layer over time an input `<layer>.h0` and an output `<layer>.h_n`.

    A state that the model takes and returns itself stays as it is: the signature pairs it, or its names do.

    Raises:
        CaptureError: a layer reads its sequence from the end or by given lengths, starts from what is computed from
            the inputs, or there is no layer over time.
    """
    time = _time(model.graph, signature)
    nodes = [node for node in model.graph if _is_recurrent(node) and _runs_over(node, time)]
    for node in nodes:
        _check_can_stream(node)
    pairs = {**_pairs_by_name(signature, time), **signature.states}
    hidden = [place for place in _places(nodes, signature) if _is_hidden(place, pairs, signature, time)]
    exposed = [_expose(model, place, signature) for place in hidden]
    RemoveUnusedNodesPass()(model)
    states = (*declared_states(signature, pairs), *exposed)
    if not states:
        raise CaptureError(f"The model has no recurrent layer over {time} whose state could be carried. {STATELESS}")
    return Stream(time, states)


def _is_recurrent(node: ir.Node) -> bool:
    return node.domain == "" and (node.op_type in _NATIVE or node.op_type == "Scan")


def _time(graph: ir.Graph, signature: Signature) -> str:
    """The dimension that chunks are cut along: T, or the first that a recurrent layer runs over."""
    if "T" in signature.symbols:
        return "T"
    dims = [dim for node in graph if _is_recurrent(node) for dim in _sequence_dims(node)]
    names = [name for dim in dims for name in re.findall(r"\w+", str(dim)) if name in signature.symbols]
    if not names:
        raise CaptureError(
            "The model has no recurrent layer over a dynamic dimension, so that nothing can be fed in chunks. "
            "Name the time dimension in the input, such as T in 'x: float32[T, N, 100]'."
        )
    return str(names[0])


def _sequences(node: ir.Node) -> Iterator[tuple[ir.Value, int]]:
    """What a node runs over, and along which axis."""
    if node.op_type != "Scan":
        first, axes = 0, [0]
    else:
        many = node.attributes["num_scan_inputs"].as_int()
        first, axes = len(node.inputs) - many, [*(node.attributes.get_ints("scan_input_axes", None) or [0] * many)]
    for value, axis in zip(node.inputs[first:], axes, strict=False):
        assert value is not None
        yield value, axis


def _sequence_dims(node: ir.Node) -> list[int | ir.SymbolicDim]:
    """The lengths of what a node runs over, so far as they are known."""
    return [value.shape[axis] for value, axis in _sequences(node) if value.shape is not None]


def _runs_over(node: ir.Node, time: str) -> bool:
    """Whether a node's sequence is as long as `time` says; where no length is known, it may be."""
    dims = _sequence_dims(node)
    unknown = not dims or any(isinstance(dim, ir.SymbolicDim) and dim.value is None for dim in dims)
    return unknown or any(time in re.findall(r"\w+", str(dim)) for dim in dims)


def _check_can_stream(node: ir.Node) -> None:
    layer = _layer_of(node)[0]
    backwards = any(node.attributes.get_ints("scan_input_directions", []) or [])
    if backwards or node.attributes.get_string("direction", "forward") != "forward":
        raise CaptureError(
            f"The model cannot stream: layer '{layer}' is bidirectional or reversed, and begins at the end of the "
            f"sequence. Use layers in forward direction alone. {STATELESS}"
        )
    if node.op_type in _NATIVE and len(node.inputs) > _LENGTHS and node.inputs[_LENGTHS] is not None:
        raise CaptureError(
            f"The model cannot stream: layer '{layer}' reads packed sequences, whose lengths say where they end. "
            f"Run the padded sequence through it. {STATELESS}"
        )


def _layer_of(node: ir.Node) -> tuple[str, int | None]:
    """The module that a node came from, and which of its layers it is; None where nodes are not numbered by layer."""
    name = str(node.name)
    match = re.fullmatch(r"(?P<module>.+)\.l(?P<layer>\d+)(\.reverse)?(?P<again>_\d+)?", name)
    if match:
        return f"{match['module']}{match['again'] or ''}", int(match["layer"])
    # PyTorch calls its nodes node_<operator>.
    return (_module_read(node) or "loop" if name.startswith("node_") or not is_name(name) else name), None


def _module_read(node: ir.Node) -> str:
    """The innermost module that holds all weights which the bodies inside a node read; empty if there is none."""
    weights = [value for value in _captured(node) if value is not None and value.const_value is not None]
    modules = [str(value.name).split(".")[:-1] for value in weights if "." in str(value.name)]
    shared = takewhile(lambda parts: len({*parts}) == 1, zip(*modules, strict=False))
    return ".".join(parts[0] for parts in shared)


def _places(nodes: Sequence[ir.Node], signature: Signature) -> Iterator[_Place]:
    """The states of all layers, named: `rnn.h0`, in a stack of several layers `rnn.0.h0`; no name is used twice."""
    sizes = Counter(_layer_of(node)[0] for node in nodes)
    taken = {name.rpartition(".")[0] for name in (*signature.inputs, *signature.outputs)}
    for node in nodes:
        module, index = _layer_of(node)
        base = module if index is None or sizes[module] == 1 else f"{module}.{index}"
        layer = next(name for name in chain([base], (f"{base}_{i}" for i in count(1))) if name not in taken)
        taken.add(layer)
        first = 0 if node.op_type == "Scan" else _INITIAL
        for k, letter in enumerate(_letters(node)):
            yield _Place(layer, node, first + k, k if node.op_type == "Scan" else k + 1, f"{layer}.{letter}")


def _letters(node: ir.Node) -> Sequence[str]:
    """What the states of a node are called within its layer: `h0` and `c0`, with a number where there are more."""
    if node.op_type in _NATIVE:
        return _NATIVE[node.op_type]
    body = node.attributes["body"].as_graph()
    many = len(node.inputs) - node.attributes["num_scan_inputs"].as_int()
    own = [str(value.name).rpartition(".")[2] for value in body.inputs[:many]]
    if len({*own}) == many and all(re.fullmatch(r"[a-z]0", name) for name in own):
        return own
    hidden_of = _cell_states(body.outputs[:many])
    hidden = [k for k in range(many) if k not in hidden_of]
    numbers = {k: f"{i}." if len(hidden) > 1 else "" for i, k in enumerate(hidden)}
    return [f"{numbers[hidden_of[k]]}c0" if k in hidden_of else f"{numbers[k]}h0" for k in range(many)]


def _cell_states(finals: Sequence[ir.Value]) -> dict[int, int]:
    """Which states are the c of which h: h = o * tanh(c) (Hochreiter and Schmidhuber 1997)."""
    found = {}
    for k, h in enumerate(finals):
        factors = h.producer().inputs if _made_by(h, "Mul") else ()  # type: ignore[union-attr]
        cells = [factor.producer().inputs[0] for factor in factors if _made_by(factor, "Tanh")]  # type: ignore[union-attr]
        found.update({j: k for j, c in enumerate(finals) if j != k and any(c is cell for cell in cells)})
    chained = {*found} & {*found.values()}
    return {} if chained or len({*found.values()}) < len(found) else found


def _made_by(value: ir.Value | None, op_type: str) -> bool:
    node = value.producer() if value is not None else None
    return node is not None and node.op_type == op_type


def _pairs_by_name(signature: Signature, time: str) -> dict[str, str]:
    """Inputs without a time dimension and the outputs that their names say continue them."""
    return {
        name: after_name(name)
        for name, spec in signature.inputs.items()
        if after_name(name) in signature.outputs and time not in spec.symbols
    }


def _is_hidden(place: _Place, pairs: Mapping[str, str], signature: Signature, time: str) -> bool:
    """Whether a state is none of the model's own.

    Raises:
        CaptureError: it starts from what is computed from the sequence, or from an input that no output continues.
    """
    given = _inputs_behind(place.initial, place.node.graph)
    if not given or given & {*pairs}:
        return not given
    names = " and ".join(f"'{name}'" for name in sorted(given))
    if any(time in signature.inputs[name].symbols for name in given):
        raise CaptureError(
            f"The model cannot stream: layer '{place.layer}' starts from a state that is computed from {names}, which "
            f"has to be known as a whole. {STATELESS}"
        )
    raise CaptureError(
        f"The model cannot stream: layer '{place.layer}' starts from {names}, and no output is said to continue it. "
        "A state and its output are called h0 and h_n, or paired with --state input=output (in Python: "
        "Signature(..., states=...)); where a state is computed from something else, make it an input itself."
    )


def _inputs_behind(value: ir.Value | None, graph: object) -> set[str]:
    """The graph inputs on whose values, and not only sizes, a value depends."""
    found: set[str] = set()
    seen: set[ir.Value] = set()
    open_ends = [value]
    while open_ends:
        value = open_ends.pop()
        if value is None or value in seen:
            continue
        seen.add(value)
        if value.is_graph_input() and value.graph is graph:
            found.add(str(value.name))
        node = value.producer()
        if node is not None and node.op_type not in ("Shape", "Size"):
            open_ends += [*node.inputs, *_captured(node)]
    return found


def _captured(node: ir.Node) -> Iterator[ir.Value | None]:
    """What the bodies inside a node read from around it (and, which does no harm, from within)."""
    for attribute in filter(_is_graph, node.attributes.values()):
        for inner in ir.traversal.RecursiveGraphIterator(attribute.as_graph()):
            yield from inner.inputs


def _expose(model: ir.Model, place: _Place, signature: Signature) -> State:
    """Replace one initial state by an input of the graph, and make the final one an output."""
    dtype = _dtype(place)
    shape, reset = _missing(place) if place.initial is None else _measure(model, place, signature)
    before = ir.Value(name=place.name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
    if place.before >= len(place.node.inputs):
        place.node.resize_inputs(place.before + 1)
    _make_room(model.graph, place.name)
    place.node.replace_input_with(place.before, before)
    model.graph.inputs.append(before)
    after = f"{place.name.removesuffix('0')}_n"
    _make_room(model.graph, after)
    model.graph.outputs.append(_final(model.graph, place, before))
    model.graph.outputs[-1].name = after
    return State(place.name, after, _numpy_name(dtype), shape, reset)


def _dtype(place: _Place) -> ir.DataType:
    value = place.initial or place.node.inputs[0]
    assert value is not None
    if value.dtype is None:  # of a Scan: its body says
        value = place.node.attributes["body"].as_graph().inputs[place.before]
    assert value.dtype is not None
    return value.dtype


def _numpy_name(dtype: ir.DataType) -> str:
    return str(dtype.numpy().name)


def _missing(place: _Place) -> tuple[tuple[str | int, ...], float]:
    """Shape [1, N, H] of a state that a native operator takes for zero."""
    x = place.node.inputs[0]
    assert x is not None
    assert x.shape is not None
    return (1, _spelled(place, x.shape[1]), place.node.attributes["hidden_size"].as_int()), 0.0


def _spelled(place: _Place, dim: int | ir.SymbolicDim | str | None) -> str | int:
    if isinstance(dim, int):
        return dim
    text = re.sub(r"\s", "", str(dim.value if isinstance(dim, ir.SymbolicDim) else dim))
    if not _PRODUCT.fullmatch(text) or text == "None":
        raise CaptureError(
            f"The model cannot stream: the size {text} of the state of layer '{place.layer}' is not a product of the "
            f"inputs' sizes. {STATELESS}"
        )
    return text


def _measure(model: ir.Model, place: _Place, signature: Signature) -> tuple[tuple[str | int, ...], Reset]:
    """Shape and value of an initial state that is computed from sizes and weights alone, by computing it.

    Raises:
        CaptureError: its values depend on the sizes, or differ from sequence to sequence.
    """
    assert place.initial is not None
    sizes = [{name: _PRIMES[(i + k) % len(_PRIMES)] for i, name in enumerate(signature.symbols)} for k in range(3)]
    runs = [_evaluate(model, place.initial, signature, run) for run in sizes]
    inferred = infer_dims(sizes, [run.shape for run in runs])
    known = place.initial.shape
    dims = known if known is not None and all(dim is not None and str(dim) != "None" for dim in known) else inferred
    shape = tuple(_spelled(place, dim) for dim in dims)
    first = runs[0][tuple(slice(0, 1) if isinstance(dim, str) else slice(None) for dim in shape)]
    if not all(np.array_equal(run, np.broadcast_to(first, run.shape), equal_nan=run.dtype.kind == "f") for run in runs):
        raise CaptureError(
            f"The model cannot stream: the initial state of layer '{place.layer}' is not the same for every sequence "
            f"and every size. Take it as an input. {STATELESS}"
        )
    return shape, reset_of(first)


def _evaluate(model: ir.Model, value: ir.Value, signature: Signature, sizes: Mapping[str, int]) -> np.ndarray:
    """A value that depends on the inputs' sizes alone."""
    graph = ir.convenience.extract(model.graph, model.graph.inputs[: len(signature.inputs)], [value])
    proto = ir.to_proto(ir.Model(graph, ir_version=model.ir_version))
    zeros = {name: np.zeros(spec.sized(sizes), spec.dtype) for name, spec in signature.inputs.items()}
    (result,) = ReferenceEvaluator(proto).run(None, zeros)
    return np.asarray(result)


def _final(graph: ir.Graph, place: _Place, before: ir.Value) -> ir.Value:
    """The final state, as a value that is no output of the graph yet."""
    if place.after >= len(place.node.outputs):
        place.node.resize_outputs(place.after + 1)
    final = place.node.outputs[place.after]
    final.type, final.shape = before.type, before.shape
    for i, value in enumerate(graph.outputs):
        if value is final:
            copy = ir.node("Identity", [final], name=f"{value.name}.copy")
            copy.outputs[0].name, copy.outputs[0].type, copy.outputs[0].shape = value.name, value.type, value.shape
            graph.append(copy)
            graph.outputs[i] = copy.outputs[0]
    return final


def _make_room(graph: ir.Graph, name: str) -> None:
    """Rename what is called so inside the graph and the bodies in it."""
    for node in ir.traversal.RecursiveGraphIterator(graph):
        bodies = [attribute.as_graph() for attribute in node.attributes.values() if _is_graph(attribute)]
        for value in (*node.outputs, *(value for body in bodies for value in body.inputs)):
            if value.name == name:
                value.name = f"{name}.inner"
    if name in graph.initializers:
        weight = graph.initializers.pop(name)
        weight.name = f"{name}.weight"
        graph.register_initializer(weight)


def _is_graph(attribute: ir.Attr) -> bool:
    return attribute.type == ir.AttributeType.GRAPH
