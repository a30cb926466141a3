"""Lower `logcumsumexp`, `cumprod`, `cummax` and `cummin` to an ONNX `Scan`.

Gated recurrences in log space use the first, and it does not overflow:

log(exp(s) + exp(x)) = m + log(1 + exp(n - m)), where m is the larger of s and x, and n the smaller. PyTorch's own
translation takes the largest value of all steps for m, and so loses what is far below it. Sums are float64, as
PyTorch's are: in float32 the error of 20,000 steps exceeds any limit.
Source: minGRU and minLSTM, Feng et al., "Were RNNs all we needed?", 2024, which use it so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from .stack import initializer


def lower_logcumsumexp(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes on `tape`, over x [..., T, ...] along `axis`; a scalar is its own sum."""
    over = _Axis.of(node)
    if over is None:
        return [tape.op("Identity", node.inputs)]
    zero, one = (initializer(tape, f"sum_{number}", np.array(float(number))) for number in (0, 1))
    body = _body(over.dtype, over.others, zero, one, over.name)
    return over.scan(tape, body, [np.array([-np.inf])])


def lower_cumprod(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes on `tape`, over x [..., T, ...] along `axis`; of floats they are float64, as PyTorch's are."""
    over = _Axis.of(node)
    if over is None:
        return [tape.op("Identity", node.inputs)]
    kind = ir.DataType.DOUBLE if over.dtype.is_floating_point() else over.dtype
    state, x = over.value("state", kind), over.value("x", over.dtype)
    record = ir.tape.Tape()
    after = record.op("Mul", [state, record.op("Cast", [x], {"to": kind.value})])
    output = record.op("Cast", [after], {"to": over.dtype.value})
    body = over.body([state, x], [(after, kind), (output, over.dtype)], record)
    return over.scan(tape, body, [np.ones(1, kind.numpy())])


def lower_cummax(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record `cummax` or `cummin`: the values and their places, the later of two equal ones; NaN stays."""
    over = _Axis.of(node)
    if over is None:
        zero = initializer(tape, "first_place", np.array(0, np.int64))
        return [tape.op("Identity", node.inputs), tape.op("Identity", [zero])]
    is_max = node.op_type == "cummax"
    best, place = over.value("best", over.dtype), over.value("place", ir.DataType.INT64)
    step, x = over.value("step", ir.DataType.INT64), over.value("x", over.dtype)
    record = ir.tape.Tape()
    takes = record.op("GreaterOrEqual" if is_max else "LessOrEqual", [x, best])
    if over.dtype.is_floating_point():
        takes = record.op("Or", [takes, record.op("IsNaN", [x])])
    best_after, place_after = record.op("Where", [takes, x, best]), record.op("Where", [takes, step, place])
    step_after = record.op("Add", [step, initializer(tape, "one_place", np.array(1, np.int64))])
    results = [(best_after, over.dtype), (place_after, ir.DataType.INT64)]
    outputs = [(record.op("Identity", [value]), kind) for value, kind in results]
    body = over.body([best, place, step, x], [*results, (step_after, ir.DataType.INT64), *outputs], record)
    return over.scan(tape, body, [_extreme(over.dtype, is_max), np.zeros(1, np.int64), np.zeros(1, np.int64)])


def _extreme(dtype: ir.DataType, is_max: bool) -> np.ndarray[Any, Any]:
    """What every value takes the place of."""
    if dtype.is_floating_point():
        return np.full(1, -np.inf if is_max else np.inf, dtype.numpy())
    limits = np.iinfo(dtype.numpy())
    return np.full(1, limits.min if is_max else limits.max, dtype.numpy())


@dataclass(frozen=True)
class _Axis:
    """What a cumulative operator runs over: x [..., T, ...] along `axis`, and its shape without that."""

    x: ir.Value
    dtype: ir.DataType
    axis: int
    others: ir.Shape
    name: str

    @classmethod
    def of(cls, node: ir.Node) -> _Axis | None:
        """None of a scalar."""
        (x,) = node.inputs
        assert x is not None
        assert x.shape is not None
        assert x.dtype is not None
        if not x.shape:
            return None
        axis = node.attributes["axis"].as_int() % len(x.shape)
        others = ir.Shape([x.shape[i] for i in range(len(x.shape)) if i != axis])
        return cls(x, x.dtype, axis, others, f"{node.name}.scan")

    def value(self, name: str, dtype: ir.DataType) -> ir.Value:
        """An input of the body: a state, or x in one step."""
        return ir.Value(name=f"{self.name}.{name}", type=ir.TensorType(dtype), shape=self.others)

    def body(
        self, inputs: list[ir.Value], outputs: list[tuple[ir.Value, ir.DataType]], record: ir.tape.Tape
    ) -> ir.Graph:
        """One step, from the states and x to the new states and what is stacked, each with its dtype."""
        for value, kind in outputs:
            value.type, value.shape = ir.TensorType(kind), self.others
        for i, each in enumerate(record.nodes):
            each.outputs[0].name = f"{self.name}.{each.op_type.lower()}_{i}"
        return ir.Graph(inputs, [value for value, _ in outputs], nodes=record.nodes, name=self.name)

    def scan(self, tape: ir.tape.Tape, body: ir.Graph, begins: list[np.ndarray[Any, Any]]) -> list[ir.Value]:
        """The results of all steps, from states that are everywhere one number each."""
        kept = [i for i in range(len(self.others) + 1) if i != self.axis]
        sizes = initializer(tape, f"axes_but_{self.axis}", np.array(kept, np.int64))
        shape = tape.op("Gather", [tape.op("Shape", [self.x]), sizes], {"axis": 0})
        states = [tape.op("ConstantOfShape", [shape], {"value": ir.tensor(begin)}) for begin in begins]
        count = len(body.outputs)
        axes = {"scan_input_axes": [self.axis], "scan_output_axes": [self.axis] * (count - len(states))}
        attributes: dict[str, Any] = {"body": body, "num_scan_inputs": 1, **axes}
        return list(
            tape.op_multi_out("Scan", [*states, self.x], attributes, num_outputs=count, name=self.name)[len(states) :]
        )


def _body(dtype: ir.DataType, shape: ir.Shape, zero: ir.Value, one: ir.Value, name: str) -> ir.Graph:
    """One step: from the sum so far, in float64, and the next values of x, both without the axis, to the new sum."""
    state = ir.Value(name=f"{name}.state", type=ir.TensorType(ir.DataType.DOUBLE), shape=shape)
    x = ir.Value(name=f"{name}.x", type=ir.TensorType(dtype), shape=shape)
    record = ir.tape.Tape()
    term = record.op("Cast", [x], {"to": ir.DataType.DOUBLE.value})
    larger, smaller = record.op("Max", [state, term]), record.op("Min", [state, term])
    # The difference of two equal infinities is NaN.
    apart = record.op("Where", [record.op("Equal", [state, term]), zero, record.op("Sub", [smaller, larger])])
    after = record.op("Add", [larger, _log1p(record, record.op("Exp", [apart]), zero, one)])
    output = record.op("Cast", [after], {"to": dtype.value})
    after.type, after.shape = state.type, shape
    output.type, output.shape = x.type, shape
    for i, each in enumerate(record.nodes):
        each.outputs[0].name = f"{name}.{each.op_type.lower()}_{i}"
    return ir.Graph([state, x], [after, output], nodes=record.nodes, name=name)


def _log1p(tape: ir.tape.Tape, x: ir.Value, zero: ir.Value, one: ir.Value) -> ir.Value:
    """log(1 + x), which ONNX lacks, to the last digits: it makes up for what 1 + x loses of a small x.

    Source: Goldberg, "What every computer scientist should know about floating-point arithmetic", 1991, theorem 4.
    """
    rounded = tape.op("Add", [one, x])
    kept = tape.op("Sub", [rounded, one])
    exact = tape.op("Mul", [tape.op("Log", [rounded]), tape.op("Div", [x, kept])])
    return tape.op("Where", [tape.op("Equal", [kept, zero]), x, exact])
