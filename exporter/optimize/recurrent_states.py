"""The states of recurrent nodes: which input and output of a node holds each, and its name, such as `rnn.0.c0`.

The lowerings name a node after its layer. A `Scan` that was a Python loop is named after the module whose weights its
body reads, or else `loop`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, takewhile

import onnx_ir as ir

from ..spec.signature import is_name
from .graph import captured

NATIVE = {"RNN": ("h0",), "GRU": ("h0",), "LSTM": ("h0", "c0")}

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
    return (_module_read(node) or "loop" if name.startswith("node_") or not is_name(name) else name), None


def _module_read(node: ir.Node) -> str:
    """The innermost module that holds all weights that the bodies inside a node read; empty if there is none."""
    weights = [value for value in captured(node) if value is not None and value.const_value is not None]
    modules = [str(value.name).split(".")[:-1] for value in weights if "." in str(value.name)]
    shared = takewhile(lambda parts: len({*parts}) == 1, zip(*modules, strict=False))
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
