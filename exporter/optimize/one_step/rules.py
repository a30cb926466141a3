"""What an operator is without the time axis, where each time step is by itself: one rule per kind of operator.

A rule gives the outputs without the axis, or None where it does not know the operator's inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from ..graph import array_of, rank
from .windows import window
from .without_time import WithoutTime

Outputs = Sequence[ir.Value] | None
Rule = Callable[[ir.Node, WithoutTime, int], Outputs]

_ELEMENTWISE = (
    *("Abs", "Add", "And", "Cast", "Ceil", "Clip", "Cos", "Div", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu"),
    *("Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log"),
    *("Max", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid"),
    *("Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh", "Where"),
)
_REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"),
    "ReduceSumSquare",
)


def without_time(node: ir.Node, values: WithoutTime) -> bool:
    """Replace a node by one without the time axis, if there is a rule for it; the old one is left without readers."""
    rule = _RULES.get(node.op_type) if node.domain == "" else None
    axes = {values.axis(output) for output in node.outputs}
    axis = next(iter(axes))
    if rule is None or len(axes) > 1 or axis is None:
        return False
    outputs = rule(node, values, axis)
    if outputs is None:
        return False
    for old, new in zip(node.outputs, outputs, strict=True):
        whole = values.with_time(new, old, axis)
        ir.convenience.replace_all_uses_with(old, whole, replace_graph_outputs=True)
    return True


def _same(
    node: ir.Node, values: WithoutTime, inputs: Sequence[ir.Value | None], changed: Mapping[str, ir.Attr] | None = None
) -> Outputs:
    """The operator on other inputs; None where one of them could not be had, though the node reads it."""
    if any(new is None and old is not None for old, new in zip(node.inputs, inputs, strict=False)):
        return None
    return values.ops(node.op_type, inputs, node.outputs, {**node.attributes, **(changed or {})})


def _elementwise(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    return _same(node, values, [_aligned(value, node, values, axis) for value in node.inputs])


def _aligned(value: ir.Value | None, node: ir.Node, values: WithoutTime, axis: int) -> ir.Value | None:
    """An operand without the axis that meets the time; shapes are aligned at their ends."""
    if value is None or value.shape is None:
        return None
    place = axis - (rank(node.outputs[0]) - value.shape.rank())
    return value if place < 0 else values.of(value, place)


def _product(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    left, right = node.inputs
    if left is None or right is None or left.shape is None or right.shape is None:
        return None
    many = rank(node.outputs[0])
    if axis < many - 2:
        return _same(node, values, [_aligned(value, node, values, axis) for value in (left, right)])
    if axis == many - 2 and many > 2 and right.shape.rank() == 2:
        return _same(node, values, [values.of(left, axis), right])
    return None


def _transposed(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    perm = list(node.attributes.get_ints("perm", [])) or [*reversed(range(rank(node.outputs[0])))]
    source = perm[axis]
    value = values.of(node.inputs[0], source)
    rest = [each - (each > source) for place, each in enumerate(perm) if place != axis]
    if value is None or rest == sorted(rest):
        return None if value is None else [value]
    return _same(node, values, [value], {"perm": ir.AttrInt64s("perm", rest)})


def _unsqueezed(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    axes = _axes(node.inputs[1], rank(node.outputs[0]))
    if axes is None or axis in axes:
        return None
    value = values.of(node.inputs[0], axis - sum(each < axis for each in axes))
    return _same(node, values, [value, values.ints(_moved(axes, axis))])


def _squeezed(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    return _dropping(node, values, axis, kept=False)


def _reduced(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    return _dropping(node, values, axis, kept=node.attributes.get_int("keepdims", 1) == 1)


def _dropping(node: ir.Node, values: WithoutTime, axis: int, *, kept: bool) -> Outputs:
    """An operator on the axes that its second input names, which the outputs lack or have kept."""
    given, names = node.inputs[0], node.inputs[1] if len(node.inputs) > 1 else None
    if given is None or given.shape is None:
        return None
    axes = _axes(names, given.shape.rank())
    if axes is None:
        return None
    source = axis if kept else [each for each in range(given.shape.rank()) if each not in axes][axis]
    if source in axes:
        return None
    return _same(node, values, [values.of(given, source), values.ints(_moved(axes, source))])


def _along(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    """An operator along one axis, which an attribute names: of all its inputs, or of the first."""
    default = 0 if node.op_type == "Split" else -1
    along = node.attributes.get_int("axis", default) % rank(node.outputs[0])
    if along == axis or (node.op_type == "LayerNormalization" and along < axis):
        return None
    whole = len(node.inputs) if node.op_type == "Concat" else 1
    inputs = [*(values.of(value, axis) for value in node.inputs[:whole]), *node.inputs[whole:]]
    return _same(node, values, inputs, {"axis": ir.AttrInt64("axis", along - (along > axis))})


def _sliced(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    axes = _axes(node.inputs[3] if len(node.inputs) > 3 else None, rank(node.outputs[0]))
    if axes is None or axis in axes:
        return None
    value, start, end, _, *step = node.inputs
    return _same(node, values, [values.of(value, axis), start, end, values.ints(_moved(axes, axis)), *step])


def _reshaped(node: ir.Node, values: WithoutTime, axis: int) -> Outputs:
    """A reshape behind the time: what comes before is as it was, and all else but one size is a number."""
    given, made = node.inputs[0], node.outputs[0]
    if given is None or given.shape is None or made.shape is None or node.attributes.get_int("allowzero", 0) == 1:
        return None
    if values.axis(given) != axis or given.shape[:axis] != made.shape[:axis]:
        return None
    rest = [size if isinstance(size, int) else -1 for size in made.shape[axis + 1 :]]
    if rest.count(-1) > 1 or 0 in rest:
        return None
    return _same(node, values, [values.of(given, axis), values.ints([*[0] * axis, *rest])])


def _axes(value: ir.Value | None, many: int) -> list[int] | None:
    """Axes that are constant, counted from the front."""
    array = array_of(value)
    return None if array is None else [int(axis) % many for axis in np.atleast_1d(array)]


def _moved(axes: Sequence[int], dropped: int) -> list[int]:
    return [axis - (axis > dropped) for axis in axes]


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(("Concat", "LayerNormalization", "LogSoftmax", "Softmax", "Split"), _along),
    "Conv": window,
    "MatMul": _product,
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
