"""What is known of a value's sign from how it is computed: a decay has a logarithm only if it is never below zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from ..graph import array_of


def is_never_negative(value: ir.Value | None) -> bool:
    """Whether a value is at least zero, or NaN, whatever the inputs are."""
    return _is_constant_within(value, 0, None) or _holds(value, _NEVER_NEGATIVE)


def is_at_most_one(value: ir.Value | None) -> bool:
    """Whether a value is at most one, or NaN, whatever the inputs are."""
    return _is_constant_within(value, None, 1) or _holds(value, _AT_MOST_ONE)


_Rule = Callable[[ir.Node], bool]


def _holds(value: ir.Value | None, rules: Mapping[str, _Rule]) -> bool:
    node = None if value is None else value.producer()
    rule = rules.get(node.op_type) if node is not None and node.domain == "" else None
    return rule is not None and node is not None and rule(node)


def _is_constant_within(value: ir.Value | None, low: float | None, high: float | None) -> bool:
    constant = array_of(value)
    if constant is None or not constant.size:
        return False
    return (low is None or float(constant.min()) >= low) and (high is None or float(constant.max()) <= high)


def _always(node: ir.Node) -> bool:
    return True


def _first(node: ir.Node) -> bool:
    return is_never_negative(node.inputs[0])


def _all(node: ir.Node) -> bool:
    return all(map(is_never_negative, node.inputs))


def _choice(node: ir.Node) -> bool:
    return all(map(is_never_negative, node.inputs[1:]))


def _clipped(node: ir.Node) -> bool:
    return _first(node) or (len(node.inputs) > 1 and _is_constant_within(node.inputs[1], 0, None))


def _rest_of_one(node: ir.Node) -> bool:
    """1 - x"""
    return _is_constant_within(node.inputs[0], 1, None) and is_at_most_one(node.inputs[1])


def _first_at_most_one(node: ir.Node) -> bool:
    return is_at_most_one(node.inputs[0])


def _product_at_most_one(node: ir.Node) -> bool:
    """Two numbers below zero may have a large product."""
    return all(is_at_most_one(each) and is_never_negative(each) for each in node.inputs)


_SAME_NUMBERS = (
    "Identity",
    "Cast",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Expand",
    "Slice",
    "Gather",
    "Split",
)
_POSITIVE = ("Exp", "Sigmoid", "Softplus", "Softmax", "Relu", "Abs", "Sqrt", "HardSigmoid", "ReduceL1", "ReduceL2")

_NEVER_NEGATIVE: Mapping[str, _Rule] = {
    **dict.fromkeys((*_POSITIVE, "ReduceSumSquare"), _always),
    **dict.fromkeys((*_SAME_NUMBERS, "Pow", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"), _first),
    **dict.fromkeys(("Mul", "Add", "Div", "Min"), _all),
    "Max": lambda node: any(map(is_never_negative, node.inputs)),
    "Where": _choice,
    "Clip": _clipped,
    "Sub": _rest_of_one,
}

_AT_MOST_ONE: Mapping[str, _Rule] = {
    **dict.fromkeys(("Sigmoid", "Softmax", "HardSigmoid"), _always),
    **dict.fromkeys(_SAME_NUMBERS, _first_at_most_one),
    "Mul": _product_at_most_one,
}
