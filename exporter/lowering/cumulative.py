"""Lower `logcumsumexp`, which gated recurrences in log space use, to an ONNX `Scan` that does not overflow.

log(exp(s) + exp(x)) = m + log(1 + exp(n - m)), where m is the larger of s and x, and n the smaller. PyTorch's own
translation takes the largest value of all steps for m, and so loses what is far below it. Sums are float64, as
PyTorch's are: in float32 the error of 20,000 steps exceeds any limit.
Source: minGRU and minLSTM, Feng et al., "Were RNNs all we needed?", 2024, which use it so.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .stack import initializer


def lower_logcumsumexp(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes on `tape`, over x [..., T, ...] along `axis`; a scalar is its own sum."""
    (x,) = node.inputs
    assert x is not None
    assert x.shape is not None
    assert x.dtype is not None
    if not x.shape:
        return [tape.op("Identity", [x])]
    axis = node.attributes["axis"].as_int() % len(x.shape)
    others = [i for i in range(len(x.shape)) if i != axis]
    sizes = initializer(tape, f"axes_but_{axis}", np.array(others, np.int64))
    shape = tape.op("Gather", [tape.op("Shape", [x]), sizes], {"axis": 0})
    name = f"{node.name}.scan"
    begin = tape.op("ConstantOfShape", [shape], {"value": ir.tensor(np.array([-np.inf]))})
    zero, one = (initializer(tape, f"sum_{number}", np.array(float(number))) for number in (0, 1))
    body = _body(x.dtype, ir.Shape([x.shape[i] for i in others]), zero, one, name)
    _, y = tape.op_multi_out(
        "Scan",
        [begin, x],
        {"body": body, "num_scan_inputs": 1, "scan_input_axes": [axis], "scan_output_axes": [axis]},
        num_outputs=2,
        name=name,
    )
    return [y]


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
