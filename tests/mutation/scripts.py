"""Faults in TorchScript: arguments of the recurrent calls, and what is done around them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from .kinds import script_kind
from .subjects import CAPTURED

Module = torch.jit.ScriptModule

# aten::lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first); GRU and RNN alike.
X, HX, DROPOUT, TRAIN = 0, 1, 5, 6
_CALLS = ("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu")


def _nodes(module: Module, *kinds: str) -> Iterator[Any]:
    graph: Any = module.graph
    for kind in kinds:
        yield from graph.findAllNodes(kind)


def _constant(module: Module, before: Any, value: Any) -> Any:
    """A constant, made just before a node."""
    graph: Any = module.graph
    made = graph.insertConstant(value)
    made.node().moveBefore(before)
    return made


def _call(module: Module, before: Any, kind: str, *inputs: Any) -> Any:
    """A value that an operator computes, just before a node."""
    graph: Any = module.graph
    node = graph.create(kind, list(inputs), 1)
    node.insertBefore(before)
    return node.output()


@script_kind
def script_dropout_left_on(module: Module) -> Module | None:
    """A recurrent call of several layers is in training mode, with dropout."""
    node = next((each for each in _nodes(module, *_CALLS) if _layers(each) > 1), None)
    if node is None:
        return None
    node.replaceInput(DROPOUT, _constant(module, node, 0.1))
    node.replaceInput(TRAIN, _constant(module, node, True))
    return module


def _layers(node: Any) -> int:
    return int(node.inputsAt(4).toIValue())


@script_kind
def script_initial_state_ignored(module: Module) -> Module | None:
    """A GRU begins with zero, whatever it is given."""
    node = next(_nodes(module, "aten::gru"), None)
    if node is None:
        return None
    zeros = _call(module, node, "aten::mul", node.inputsAt(HX), _constant(module, node, 0.0))
    zeros.setType(node.inputsAt(HX).type())
    node.replaceInput(HX, zeros)
    return module


@script_kind
def script_time_baked_in(module: Module) -> Module | None:
    """A recurrent call leaves out the steps beyond the captured number."""
    node = next(_nodes(module, *_CALLS), None)
    if node is None:
        return None
    x = node.inputsAt(X)
    bounds = [_constant(module, node, number) for number in (0, 0, CAPTURED["T"], 1)]
    cut = _call(module, node, "aten::slice", x, *bounds)
    cut.setType(x.type())
    node.replaceInput(X, cut)
    return module


@script_kind
def script_backwards(module: Module) -> Module | None:
    """A recurrent call runs from the end."""
    node = next(_nodes(module, *_CALLS), None)
    if node is None:
        return None
    x = node.inputsAt(X)
    turned = _call(module, node, "aten::flip", x, _constant(module, node, [0]))
    turned.setType(x.type())
    node.replaceInput(X, turned)
    return module


@script_kind
def script_last_step_taken_as_first(module: Module) -> Module | None:
    """What reads a sequence's last step reads its first."""
    node = next((each for each in _nodes(module, "aten::select") if each.inputsAt(2).toIValue() == -1), None)
    if node is None:
        return None
    node.replaceInput(2, _constant(module, node, 0))
    return module


@script_kind
def script_output_in_float16(module: Module) -> Module | None:
    """The result of the last linear layer is rounded to float16 and back."""
    found = list(_nodes(module, "aten::linear"))
    if not found:
        return None
    return _retyped(module, found[-1], torch.float16, torch.float32)


@script_kind
def script_output_dtype(module: Module) -> Module | None:
    """The result of the last linear layer is float64."""
    found = list(_nodes(module, "aten::linear"))
    if not found:
        return None
    return _retyped(module, found[-1], torch.float64)


def _retyped(module: Module, node: Any, *dtypes: torch.dtype) -> Module:
    """Cast what a node computes, for everything that reads it."""
    graph: Any = module.graph
    value = node.output()
    made = []
    for dtype in dtypes:
        number, no, none = (graph.insertConstant(each) for each in (_NUMBER[dtype], False, None))
        cast = graph.create("aten::to", [made[-1].output() if made else value, number, no, no, none], 1)
        made.append(cast)
    after = node
    for cast in made:
        for each in list(cast.inputs())[1:]:
            if each.node().kind() == "prim::Constant":
                each.node().moveBefore(node)
        cast.insertAfter(after)
        after = cast
    value.replaceAllUsesAfterNodeWith(after, after.output())
    return module


_NUMBER = {torch.float16: 5, torch.float32: 6, torch.float64: 7}
