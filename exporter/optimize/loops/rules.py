"""How each operator is batched over time: from inputs [...] of one step to inputs [T, ...] of all steps.

Source: ONNX operator specification, opset 18. An operator without a rule stays in its loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ..graph import Array, array_of, constant_like, rank

# Which inputs of a node have time in front.
OverTime = Sequence[bool]


@dataclass(frozen=True)
class Operand:
    """An input of the node; where it has time in front, `ones` axes of length 1 are put after that axis."""

    index: int
    ones: int = 0


@dataclass(frozen=True)
class Plan:
    """The same operator over all steps: its inputs, of which some are new constants, and the changed attributes."""

    inputs: Sequence[Operand | Array | None]
    attributes: Mapping[str, int | Sequence[int]] = field(default_factory=dict)


_UNARY = {
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Cos", "Cosh"),
    *("Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log"),
    *("Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh"),
    *("Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "ThresholdedRelu"),
}

_BROADCAST = {
    *("Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less"),
    *("LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "Pow", "PRelu", "Sub", "Sum", "Where", "Xor"),
}

_REDUCTIONS = {
    f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
}


def plan_over_time(node: ir.Node, over: OverTime) -> Plan | None:
    """How to compute a node for all steps, given which of its inputs have time in front; None if it cannot be."""
    rule = _RULES.get(node.op_type) if node.domain == "" else None
    if rule is None or any(value is not None and value.shape is None for value in (*node.inputs, *node.outputs)):
        return None
    return rule(node, over)


def batched_nodes(
    node: ir.Node, plan: Plan, inputs: Sequence[ir.Value | None], length: int | ir.SymbolicDim, main: ir.Graph
) -> list[ir.Node]:
    """The nodes that compute `node` for all steps, the last of which has its outputs; `inputs` are outside the loop."""
    nodes: list[ir.Node] = []
    given: list[ir.Value | None] = []
    for k, operand in enumerate(plan.inputs):
        if operand is None:
            given.append(None)
        elif isinstance(operand, Operand):
            value = inputs[operand.index]
            given.append(_spread(value, operand.ones, nodes, main) if operand.ones and value is not None else value)
        else:
            given.append(constant_like(main, f"{node.op_type.lower()}.{k}", operand))
    attributes = {
        **node.attributes,
        **{key: ir.convenience.convert_attribute(key, value) for key, value in plan.attributes.items()},
    }
    made = ir.Node("", node.op_type, given, attributes, num_outputs=len(node.outputs), name=node.name)
    for old, new in zip(node.outputs, made.outputs, strict=True):
        new.name, new.type = old.name, old.type
        new.shape = None if old.shape is None else ir.Shape([length, *old.shape])
    return [*nodes, made]


def _spread(value: ir.Value, ones: int, nodes: list[ir.Node], main: ir.Graph) -> ir.Value:
    """[T, ...] as [T, 1, 1, ...]: broadcasting aligns shapes at their ends."""
    axes = constant_like(main, f"axes.{ones}", np.arange(1, ones + 1))
    node = ir.node("Unsqueeze", [value, axes])
    spread = node.outputs[0]
    spread.name, spread.type = f"{value.name}.spread", value.type
    spread.shape = None if value.shape is None else ir.Shape([value.shape[0], *[1] * ones, *value.shape[1:]])
    nodes.append(node)
    return spread


def _unchanged(node: ir.Node) -> list[Operand | Array | None]:
    return [None if value is None else Operand(k) for k, value in enumerate(node.inputs)]


def _unary(node: ir.Node, over: OverTime) -> Plan | None:
    return Plan(_unchanged(node)) if not any(over[1:]) else None


def _broadcast(node: ir.Node, over: OverTime) -> Plan | None:
    full = rank(node.outputs[0])
    if node.op_type == "PRelu" and not over[0]:
        return None
    return Plan([Operand(k, full - rank(value) if over[k] else 0) for k, value in enumerate(node.inputs)])


def _matmul(node: ir.Node, over: OverTime) -> Plan | None:
    left, right = map(rank, node.inputs)
    if (over[0] and left == 1 and (over[1] or right > 2)) or (over[1] and (right == 1 or (over[0] and left == 1))):
        return None
    full = max(left, right)
    # A matrix is multiplied by all rows of all steps at once.
    return Plan(
        [
            Operand(0, full - left if over[0] and right > 2 else 0),
            Operand(1, full - right if over[1] and left > 2 else 0),
        ]
    )


def _axis(default: int) -> Callable[[ir.Node, OverTime], Plan | None]:
    def rule(node: ir.Node, over: OverTime) -> Plan | None:
        if not over[0] or any(over[1:]) or len(node.outputs) > 1:
            return None
        return Plan(_unchanged(node), {"axis": _after_time(node.attributes.get_int("axis", default))})

    return rule


def _after_time(axis: int) -> int:
    return axis + 1 if axis >= 0 else axis


def _split(node: ir.Node, over: OverTime) -> Plan | None:
    return Plan(_unchanged(node), {"axis": _after_time(node.attributes.get_int("axis", 0))})


def _concat(node: ir.Node, over: OverTime) -> Plan | None:
    return Plan(_unchanged(node), {"axis": _after_time(node.attributes["axis"].as_int())}) if all(over) else None


def _gather(node: ir.Node, over: OverTime) -> Plan | None:
    axis = node.attributes.get_int("axis", 0)
    if over[0] and over[1]:
        return None
    if over[0]:
        return Plan(_unchanged(node), {"axis": _after_time(axis)})
    return Plan(_unchanged(node)) if axis in (0, -rank(node.inputs[0])) else None


def _transpose(node: ir.Node, over: OverTime) -> Plan | None:
    order = node.attributes.get_ints("perm", None) or [*range(rank(node.inputs[0]))][::-1]
    return Plan(_unchanged(node), {"perm": [0, *(axis + 1 for axis in order)]})


def _axes(node: ir.Node, k: int) -> Array | None:
    """The constant axes that are input k of a node, moved by the time axis."""
    axes = array_of(node.inputs[k]) if len(node.inputs) > k else None
    return None if axes is None else np.array([_after_time(int(axis)) for axis in axes.reshape(-1)], np.int64)


def _with_axes(node: ir.Node, over: OverTime) -> Plan | None:
    axes = _axes(node, 1)
    return None if axes is None or not over[0] else Plan([Operand(0), axes])


def _reduce(node: ir.Node, over: OverTime) -> Plan | None:
    axes = _axes(node, 1)
    if len(node.inputs) < 2 or node.inputs[1] is None:
        axes = None if node.attributes.get_int("noop_with_empty_axes", 0) else np.arange(1, rank(node.inputs[0]) + 1)
    return None if axes is None or not axes.size or not over[0] else Plan([Operand(0), axes])


def _cumsum(node: ir.Node, over: OverTime) -> Plan | None:
    axis = array_of(node.inputs[1])
    return (
        None
        if axis is None or not over[0]
        else Plan([Operand(0), np.array(_after_time(int(axis.reshape(-1)[0])), np.int64)])
    )


def _slice(node: ir.Node, over: OverTime) -> Plan | None:
    starts = array_of(node.inputs[1])
    if starts is None or not over[0] or any(over[1:]):
        return None
    has_axes = len(node.inputs) > 3 and node.inputs[3] is not None
    axes = _axes(node, 3) if has_axes else np.arange(1, starts.size + 1)
    steps = [Operand(4)] if len(node.inputs) > 4 and node.inputs[4] is not None else []
    return None if axes is None else Plan([Operand(0), Operand(1), Operand(2), axes, *steps])


def _reshape(node: ir.Node, over: OverTime) -> Plan | None:
    shape = array_of(node.inputs[1])
    # A zero stands for the length of time, which allowzero forbids.
    if shape is None or not over[0] or (node.attributes.get_int("allowzero", 0) != 0 and 0 in shape):
        return None
    return Plan([Operand(0), np.concatenate([np.zeros(1, np.int64), shape])], {"allowzero": 0})


_RULES: dict[str, Callable[[ir.Node, OverTime], Plan | None]] = {
    **dict.fromkeys(_UNARY, _unary),
    "Clip": _unary,
    **dict.fromkeys(_BROADCAST, _broadcast),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "MatMul": _matmul,
    "Softmax": _axis(-1),
    "LogSoftmax": _axis(-1),
    "Hardmax": _axis(-1),
    "LayerNormalization": _axis(-1),
    "ArgMax": _axis(0),
    "ArgMin": _axis(0),
    "OneHot": _axis(-1),
    "Split": _split,
    "Concat": _concat,
    "Gather": _gather,
    "Transpose": _transpose,
    "Squeeze": _with_axes,
    "Unsqueeze": _with_axes,
    "CumSum": _cumsum,
    "Slice": _slice,
    "Reshape": _reshape,
}
