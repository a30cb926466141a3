"""Faults in the body of a loop and in how it is run."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import helper

from .graphs import attribute, nodes, set_attribute
from .kinds import kind

Model = onnx.ModelProto


def _scans(model: Model) -> list[onnx.NodeProto]:
    return nodes(model, "Scan")


def _body(node: onnx.NodeProto) -> onnx.GraphProto:
    found = attribute(node, "body")
    assert found is not None
    return found.g


def _states(node: onnx.NodeProto) -> int:
    over = attribute(node, "num_scan_inputs")
    assert over is not None
    return len(node.input) - over.i


def _steps(node: onnx.NodeProto) -> int:
    """How many outputs of the loop have a time axis."""
    return len(node.output) - _states(node)


def _flip(node: onnx.NodeProto, name: str, count: int) -> bool:
    found = attribute(node, name)
    now = list(found.ints) if found is not None and found.ints else [0] * count
    set_attribute(node, name, [1 - direction for direction in now])
    return count > 0


@kind
def loop_reads_backwards(model: Model) -> Model | None:
    """A loop reads its input from the end, and still writes its steps from the beginning."""
    node = next(iter(_scans(model)), None)
    return model if node is not None and _flip(node, "scan_input_directions", len(node.input) - _states(node)) else None


@kind
def loop_writes_backwards(model: Model) -> Model | None:
    """A loop writes its steps in reverse."""
    node = next((each for each in _scans(model) if _steps(each)), None)
    return model if node is not None and _flip(node, "scan_output_directions", _steps(node)) else None


@kind
def state_stuck(model: Model) -> Model | None:
    """A loop gives back the state that it was given."""
    node = next((each for each in _scans(model) if _states(each)), None)
    if node is None:
        return None
    _give(_body(node), 0, _body(node).input[0].name)
    return model


@kind
def output_of_the_step_before(model: Model) -> Model | None:
    """A loop's output is the state that the step began with."""
    for node in _scans(model):
        body, states = _body(node), _states(node)
        shape = _shape(body.input[0]) if states else None
        for k in range(states, len(body.output)):
            if _shape(body.output[k]) == shape:
                _give(body, k, body.input[0].name)
                return model
    return None


@kind
def loop_states_swapped(model: Model) -> Model | None:
    """A loop with two states of one size takes each for the other."""
    for node in _scans(model):
        if _states(node) > 1 and _shape(_body(node).input[0]) == _shape(_body(node).input[1]):
            node.input[0], node.input[1] = node.input[1], node.input[0]
            if node.input[0] != node.input[1]:
                return model
    return None


@kind
def loop_states_come_back_swapped(model: Model) -> Model | None:
    """In each step a loop's two states change places."""
    for node in _scans(model):
        body = _body(node)
        if _states(node) > 1 and _shape(body.input[0]) == _shape(body.input[1]):
            one, other = body.output[0].name, body.output[1].name
            body.output[0].name, body.output[1].name = other, one
            return model
    return None


def _give(body: onnx.GraphProto, k: int, value: str) -> None:
    """Make output k of a body a copy of another value."""
    name = f"planted.out{k}"
    body.node.append(helper.make_node("Identity", [value], [name]))
    body.output[k].name = name


def _shape(value: onnx.ValueInfoProto) -> Sequence[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@kind
def another_activation_in_a_loop(model: Model) -> Model | None:
    """Softsign in place of a loop's tanh."""
    return _exchange(model, "Tanh", "Softsign")


@kind
def hard_sigmoid_in_a_loop(model: Model) -> Model | None:
    """HardSigmoid in place of a loop's sigmoid."""
    return _exchange(model, "Sigmoid", "HardSigmoid")


@kind
def difference_for_a_sum(model: Model) -> Model | None:
    """The last sum in a loop is a difference."""
    return _exchange(model, "Add", "Sub")


@kind
def sum_for_a_product(model: Model) -> Model | None:
    """The last product of elements in a loop is a sum."""
    return _exchange(model, "Mul", "Add")


def _exchange(model: Model, right: str, wrong: str) -> Model | None:
    for node in _scans(model):
        found = [each for each in _body(node).node if each.op_type == right]
        if found:
            found[-1].op_type = wrong
            return model
    return None


@kind
def difference_turned_round(model: Model) -> Model | None:
    """A difference in a loop has the other sign."""
    for node in _scans(model):
        for each in _body(node).node:
            if each.op_type == "Sub":
                each.input[0], each.input[1] = each.input[1], each.input[0]
                return model
    return None


@kind
def gates_in_another_order(model: Model) -> Model | None:
    """A loop takes its gates apart in another order."""
    for node in _scans(model):
        for each in _body(node).node:
            if each.op_type == "Split" and len(each.output) > 1:
                sizes = attribute(each, "num_outputs")
                if sizes is not None:
                    each.output[0], each.output[1] = each.output[1], each.output[0]
                    return model
    return None


@kind
def product_scaled(model: Model) -> Model | None:
    """The recurrent product of a loop is a thousandth too large."""
    for node in _scans(model):
        for each in _body(node).node:
            if each.op_type == "Gemm":
                set_attribute(each, "alpha", 1.001)
                return model
    return None


@kind
def addend_dropped(model: Model) -> Model | None:
    """A product in a loop leaves out what is added to it."""
    for node in _scans(model):
        for each in _body(node).node:
            if each.op_type == "Gemm" and len(each.input) == 3:
                set_attribute(each, "beta", 0.0)
                return model
    return None
