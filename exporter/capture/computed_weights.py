"""Fold weights that forward computes from parameters alone (weight_norm, parametrizations, pruning) into buffers.

In evaluation mode they are the same for every input. A view of a parameter stays a view, so that a weight that is used
in two ways is stored once, except in recurrent layers, which reorder their weights anyway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.fx import Node
from torch.fx.node import map_arg

from ..torch_internals.modules import operator_name
from .control_flow.operators import MARKS
from .operators import DOMAIN

_aten = torch.ops.aten

_VIEWS = {
    _aten.t.default,
    _aten.numpy_T.default,
    _aten.transpose.int,
    _aten.permute.default,
    _aten.view.default,
    _aten.reshape.default,
    _aten.unsqueeze.default,
    _aten.squeeze.dim,
    _aten.expand.default,
    _aten.select.int,
    _aten.slice.Tensor,
    _aten.detach.default,
    _aten.alias.default,
    _aten.contiguous.default,
}

# PyTorch's exporter writes some of them with other coefficients, and some not at all.
_WINDOWS = {getattr(_aten, f"{name}_window") for name in ("bartlett", "blackman", "hamming", "hann", "kaiser")}

_STORED_KINDS = (InputKind.PARAMETER, InputKind.BUFFER)

# How PyTorch names the parameters that a weight is computed from.
_PARAMETRIZED = re.compile(r"parametrizations\.(\w+)\.\w+$")
_SUFFIX = re.compile(r"_(g|v|orig|mask|u|raw)$")


def fold_computed_weights(program: ExportedProgram) -> None:
    """Replace what depends on parameters and buffers alone by its value, in place.

    The program must be functional. A buffer that forward writes to is not constant.
    """
    _store_windows(program)
    stored = _stored(program)
    constant = _constant_nodes(program, stored)
    values: dict[Node, Any] = dict(stored)
    for node in _to_fold(program, stored, constant):
        value = _evaluate(node, values)
        if isinstance(value, Tensor):
            buffer = _add_buffer(program, node, value, _name(program, node, stored))
            node.replace_all_uses_with(buffer)
            # A later node may be computed from this one.
            stored[buffer] = values[buffer] = value
    program.graph_module.graph.eliminate_dead_code()
    program.graph_module.recompile()


def _store_windows(program: ExportedProgram) -> None:
    """Make each window of a fixed length a buffer, as if the model had stored it."""
    for node in list(program.graph.nodes):
        if getattr(node.target, "overloadpacket", None) in _WINDOWS and not node.all_input_nodes:
            value = _evaluate(node, {}).to(node.meta["val"].dtype)
            node.replace_all_uses_with(_add_buffer(program, node, value, _unused(program, node.name)))


def _stored(program: ExportedProgram) -> dict[Node, Tensor]:
    """The placeholders of constant parameters, buffers and other tensors, with their values."""
    signature = program.graph_signature
    written = set(signature.buffers_to_mutate.values())
    tensors: Mapping[str, Any] = {**program.constants, **program.state_dict}
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    return {
        node: tensors[str(spec.target)]
        for node, spec in zip(nodes, signature.input_specs, strict=True)
        if spec.target not in written and isinstance(tensors.get(str(spec.target)), Tensor)
    }


def _constant_nodes(program: ExportedProgram, stored: Mapping[Node, Tensor]) -> set[Node]:
    """The nodes that depend on `stored` and on nothing else."""
    # Nodes without any input, such as `arange(3)`, are constant too, but no weights.
    free: set[Node] = set()
    found: set[Node] = set(stored)
    for node in program.graph.nodes:
        if node.op == "call_function" and not _is_random(node) and operator_name(node.target) not in MARKS:
            inputs = set(node.all_input_nodes)
            if inputs <= found | free:
                (found if inputs & found else free).add(node)
    return found


def _is_random(node: Node) -> bool:
    if node.target is _aten.dropout.default and node.args[2] is False:
        return False
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


def _to_fold(program: ExportedProgram, stored: Mapping[Node, Tensor], constant: set[Node]) -> list[Node]:
    """The computed constants that other nodes use; of a view, the node that it is a view of."""
    found: dict[Node, None] = {}
    for node in program.graph.nodes:
        if node in constant:
            continue
        is_recurrent = str(node.target).startswith(DOMAIN)
        for used in node.all_input_nodes:
            if used in constant and used not in stored:
                folded = used if is_recurrent else _base(used)
                if folded not in stored and (is_recurrent or not _is_larger(folded, stored)):
                    found[folded] = None
    return list(found)


def _base(node: Node) -> Node:
    while node.target in _VIEWS:
        node = node.all_input_nodes[0]
    return node


def _is_larger(node: Node, stored: Mapping[Node, Tensor]) -> bool:
    """Whether a value takes more memory than all that it is computed from."""
    value = node.meta.get("val")
    return not isinstance(value, Tensor) or value.numel() > sum(stored[leaf].numel() for leaf in _leaves(node, stored))


def _leaves(node: Node, stored: Mapping[Node, Tensor]) -> list[Node]:
    """The parameters and buffers that a node depends on, in order."""
    if node in stored:
        return [node]
    return list(dict.fromkeys(leaf for used in node.all_input_nodes for leaf in _leaves(used, stored)))


def _evaluate(node: Node, values: dict[Node, Any]) -> Any:
    if node not in values:
        for used in node.all_input_nodes:
            _evaluate(used, values)
        args: Any = map_arg(node.args, values.__getitem__)
        kwargs: Any = map_arg(node.kwargs, values.__getitem__)
        with torch.no_grad():
            values[node] = node.target(*args, **kwargs)  # type: ignore[operator]
    return values[node]


def _name(program: ExportedProgram, node: Node, stored: Mapping[Node, Tensor]) -> str:
    """The name that the layer uses: rnn.weight_hh_l0 for rnn.parametrizations.weight_hh_l0.original0."""
    specs = dict(zip(_placeholders(program), program.graph_signature.input_specs, strict=True))
    name = str(specs[_leaves(node, stored)[0]].target)
    name = _SUFFIX.sub("", _PARAMETRIZED.sub(r"\1", name))
    return _unused(program, name)


def _unused(program: ExportedProgram, name: str) -> str:
    while name in program.state_dict or name in program.constants:
        name += "_"
    return name


def _placeholders(program: ExportedProgram) -> Sequence[Node]:
    return [node for node in program.graph.nodes if node.op == "placeholder"]


def _add_buffer(program: ExportedProgram, node: Node, value: Tensor, name: str) -> Node:
    specs = program.graph_signature.input_specs
    place = sum(spec.kind in _STORED_KINDS for spec in specs)
    with program.graph.inserting_before(_placeholders(program)[place]):
        added: Node = program.graph.placeholder(f"b_{re.sub(r'[^A-Za-z0-9_]', '_', name)}")
    added.meta["val"] = node.meta["val"]
    specs.insert(place, InputSpec(InputKind.BUFFER, TensorArgument(added.name), name, persistent=True))
    program.state_dict[name] = value.detach().contiguous()
    return added
