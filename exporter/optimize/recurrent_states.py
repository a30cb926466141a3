"""Find the states of recurrent nodes: their names, and the dtype, shape and value they begin with.

The lowerings name a node after its layer. A `Scan` that was a Python loop is named after the module whose weights its
body reads, or else whose `forward` holds it, or else `loop`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, takewhile

import numpy as np
import onnx_ir as ir

from ..errors import CaptureError
from ..spec.dims import infer_dims
from ..spec.signature import Signature, is_name
from ..spec.streams import Reset, cannot_stream, reset_of
from .graph import captured
from .tried_session import tried_session
from .user_places import line_of, module_of

NATIVE = {"RNN": ("h0",), "GRU": ("h0",), "LSTM": ("h0", "c0")}


@dataclass(frozen=True)
class StatePlace:
    """Where an operator has its state: the input and output that hold it, and its letter; the inputs that have time."""

    before: int
    after: int
    letter: str
    time_axis: int
    sequences: tuple[int, ...]


# Operators with a state of their own, of ONNX 27 and of ONNX Runtime (their schemas).
WITH_STATE = {"LinearAttention": StatePlace(before=3, after=1, letter="h0", time_axis=1, sequences=(0, 1, 2, 4, 5))}

# The first of the initial states among the inputs of an RNN, GRU or LSTM (ONNX operator specification).
_INITIAL = 5


@dataclass(frozen=True)
class StateSlot:
    """One state of one layer: the positions of the input and output of the node that hold it, and its name."""

    layer: str
    node: ir.Node
    before: int
    after: int
    name: str

    @property
    def initial(self) -> ir.Value | None:
        return self.node.inputs[self.before] if self.before < len(self.node.inputs) else None


def state_slots(nodes: Sequence[ir.Node], names: Sequence[str]) -> Iterator[StateSlot]:
    """The states of all layers: `rnn.h0`, in a stack of several layers `rnn.0.h0`, but none of `names`."""
    sizes = Counter(layer_of(node)[0] for node in nodes)
    taken = {name.rpartition(".")[0] for name in names}
    for node in nodes:
        module, index = layer_of(node)
        base = module if index is None or sizes[module] == 1 else f"{module}.{index}"
        layer = next(name for name in chain([base], (f"{base}_{i}" for i in count(1))) if name not in taken)
        taken.add(layer)
        if place := WITH_STATE.get(node.op_type):
            yield StateSlot(layer, node, place.before, place.after, f"{layer}.{place.letter}")
            continue
        first = 0 if node.op_type == "Scan" else _INITIAL
        for k, letter in enumerate(_letters(node)):
            yield StateSlot(layer, node, first + k, k if node.op_type == "Scan" else k + 1, f"{layer}.{letter}")


def layer_of(node: ir.Node) -> tuple[str, int | None]:
    """The module that a node came from, and its layer in that; None where nodes are not numbered by layer."""
    name = str(node.name)
    match = re.fullmatch(r"(?P<module>.+)\.l(?P<layer>\d+)(\.reverse)?(?P<again>_\d+)?", name)
    if match:
        return f"{match['module']}{match['again'] or ''}", int(match["layer"])
    # PyTorch calls its nodes node_<operator>.
    if name.startswith("node_") or not is_name(name):
        return _module_read(node) or _module_around(node) or "loop", None
    return name, None


def _module_read(node: ir.Node) -> str:
    """The innermost module that holds all weights that the bodies inside a node read; empty if there is none."""
    weights = [value for value in captured(node) if value is not None and value.const_value is not None]
    return _shared([str(value.name).rpartition(".")[0] for value in weights if "." in str(value.name)])


def _module_around(node: ir.Node) -> str:
    """The innermost module whose `forward` holds all that a node's bodies do; empty for the model itself."""
    bodies = [
        attribute.as_graph() for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH
    ]
    inner = [each for body in bodies for each in ir.traversal.RecursiveGraphIterator(body)]
    return _shared([module_of(each) for each in inner if line_of(each)])


def _shared(modules: Sequence[str]) -> str:
    """The innermost module that holds all of these."""
    shared = takewhile(lambda parts: len({*parts}) == 1, zip(*(name.split(".") for name in modules), strict=False))
    return ".".join(parts[0] for parts in shared)


def _letters(node: ir.Node) -> Sequence[str]:
    """The names of a node's states within its layer: `h0` and `c0`, with a number where there are more."""
    if node.op_type in NATIVE:
        return NATIVE[node.op_type]
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
    """Which state is the c of which h, by position: h = o * tanh(c) (Hochreiter and Schmidhuber 1997)."""
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


Shape = tuple[str | int, ...]

# Sizes to compute initial states at, to see what they depend on.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


def inputs_behind(value: ir.Value | None, graph: object) -> set[str]:
    """The graph inputs whose values, not only their sizes, a value depends on."""
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
            open_ends += [*node.inputs, *captured(node)]
    return found


def dtype_of(slot: StateSlot) -> ir.DataType:
    value = slot.initial or slot.node.inputs[0]
    assert value is not None
    if value.dtype is None:  # a Scan's: its body knows it
        value = slot.node.attributes["body"].as_graph().inputs[slot.before]
    assert value.dtype is not None
    return value.dtype


def reset_value(model: ir.Model, slot: StateSlot, signature: Signature) -> tuple[Shape, Reset]:
    """Shape and value of an initial state that depends only on weights and sizes.

    Raises:
        CaptureError: its values depend on the sizes, or differ from sequence to sequence.
    """
    if slot.initial is None:  # zero, by the operator's definition
        shape = _spell(_dims_of_final(slot), signature)
        if shape is None:
            raise _refusal(slot, "has a size that is not a product of the inputs' sizes")
        return shape, 0.0
    sizes = [{name: _PRIMES[(i + k) % len(_PRIMES)] for i, name in enumerate(signature.symbols)} for k in range(3)]
    runs = [_evaluate(model, slot.initial, signature, run) for run in sizes]
    # Runs cannot tell 6*N from a size that nothing explains; the graph may know.
    known = None if slot.initial.shape is None else _spell([*slot.initial.shape], signature)
    shape = known or _spell(infer_dims(sizes, [run.shape for run in runs]), signature)
    if shape is None:
        raise _refusal(slot, "has a size that is not a product of the inputs' sizes")
    first = runs[0][tuple(slice(0, 1) if isinstance(dim, str) else slice(None) for dim in shape)]
    if not all(np.array_equal(run, np.broadcast_to(first, run.shape), equal_nan=run.dtype.kind == "f") for run in runs):
        raise _refusal(slot, "does not begin the same for every sequence and every size. Make it an input")
    return shape, reset_of(first)


def _dims_of_final(slot: StateSlot) -> list[int | ir.SymbolicDim]:
    """The dimensions of a state, as the operator gives it (ONNX operator specification)."""
    if slot.node.op_type in WITH_STATE:
        final = slot.node.outputs[slot.after]
        assert final.shape is not None
        return [*final.shape]
    x = slot.node.inputs[0]
    assert x is not None
    assert x.shape is not None
    return [1, x.shape[1], slot.node.attributes["hidden_size"].as_int()]


def _spell(dims: Sequence[int | ir.SymbolicDim | str | None], signature: Signature) -> Shape | None:
    """A shape in numbers and products of the inputs' sizes, such as `6*N`; None if a dimension is something else."""
    texts = [str(dim.value if isinstance(dim, ir.SymbolicDim) else dim).replace(" ", "") for dim in dims]
    factors = {factor for text in texts for factor in text.split("*") if not factor.isdigit()}
    return tuple(int(text) if text.isdigit() else text for text in texts) if factors <= {*signature.symbols} else None


def _refusal(slot: StateSlot, why: str) -> CaptureError:
    return cannot_stream(f"the state of layer '{slot.layer}' {why}.")


def _evaluate(model: ir.Model, value: ir.Value, signature: Signature, sizes: Mapping[str, int]) -> np.ndarray:
    """Compute a value that depends only on the inputs' sizes."""
    graph = ir.convenience.extract(model.graph, model.graph.inputs[: len(signature.inputs)], [value])
    zeros = {name: np.zeros(spec.sized(sizes), spec.dtype) for name, spec in signature.inputs.items()}
    # onnx's reference evaluator cannot run a Scan from the end, which another layer may be.
    session = tried_session(ir.Model(graph, ir_version=model.ir_version))
    wanted = {given.name for given in session.get_inputs()}
    (result,) = session.run(None, {name: array for name, array in zeros.items() if name in wanted})
    return np.asarray(result)
