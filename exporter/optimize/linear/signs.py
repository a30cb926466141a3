"""What is known of a value's sign from how it is computed: a decay has a logarithm only if it is never below zero."""

from __future__ import annotations

import onnx_ir as ir

from ..graph import array_of

_POSITIVE = {"Exp", "Sigmoid", "Softplus", "Softmax", "Relu", "Abs", "Sqrt", "HardSigmoid", "ReduceSumSquare"}
_POSITIVE |= {"ReduceL1", "ReduceL2"}
_AT_MOST_ONE = {"Sigmoid", "Softmax", "HardSigmoid"}
_MOVES = {"Identity", "Cast", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Expand", "Slice", "Gather", "Split"}
_KEEPS = {"Mul", "Add", "Div", "Min", "Max", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"}


def is_never_negative(value: ir.Value | None) -> bool:
    """Whether a value is at least zero, or NaN, whatever the inputs are."""
    constant, node = array_of(value), None if value is None else value.producer()
    if constant is not None:
        return bool((constant >= 0).all())  # type: ignore[operator]
    if node is None or node.domain != "":
        return False
    kind = node.op_type
    if kind in _POSITIVE:
        return True
    if kind in _MOVES or kind == "ReduceSum":
        return is_never_negative(node.inputs[0])
    if kind == "Max":
        return any(is_never_negative(each) for each in node.inputs)
    if kind == "Where":
        return all(is_never_negative(each) for each in node.inputs[1:])
    if kind == "Clip":
        low = array_of(node.inputs[1]) if len(node.inputs) > 1 else None
        return is_never_negative(node.inputs[0]) or (low is not None and bool((low >= 0).all()))  # type: ignore[operator]
    if kind in ("Sub", "Pow"):
        one = array_of(node.inputs[0])
        from_one = one is not None and bool((one >= 1).all())  # type: ignore[operator]
        return from_one and is_at_most_one(node.inputs[1]) if kind == "Sub" else is_never_negative(node.inputs[0])
    return kind in _KEEPS and all(is_never_negative(each) for each in node.inputs)


def is_at_most_one(value: ir.Value | None) -> bool:
    """Whether a value is at most one, or NaN, whatever the inputs are."""
    constant, node = array_of(value), None if value is None else value.producer()
    if constant is not None:
        return bool((constant <= 1).all())  # type: ignore[operator]
    if node is None or node.domain != "":
        return False
    if node.op_type == "Mul":  # two below zero may have a large product
        return all(is_at_most_one(each) and is_never_negative(each) for each in node.inputs)
    if node.op_type in _MOVES:
        return is_at_most_one(node.inputs[0])
    return node.op_type in _AT_MOST_ONE
