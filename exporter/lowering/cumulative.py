"""`logcumsumexp`, with which a gated recurrence is computed in log space, as an ONNX `Scan` that does not overflow.

log(exp(s) + exp(x)) = m + log(1 + exp(n - m)), of which m is the larger and n the smaller. PyTorch's own translation
takes the largest value of all steps for m, so that what is far below it is lost.
Source: minGRU and minLSTM, Feng et al., "Were RNNs all we needed?", 2024, which use it so.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from .graph import initializer


def lower_logcumsumexp(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes on `tape`: over x [..., T, ...] along `axis`; a single number is its own sum."""
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
    dtype, name = x.dtype.numpy(), f"{node.name}.scan"
    begin = tape.op("ConstantOfShape", [shape], {"value": ir.tensor(np.array([-np.inf], dtype))})
    zero, one = (initializer(tape, f"{np.dtype(dtype).name}_{number}", np.array(number, dtype)) for number in (0, 1))
    body = _body(x.type, ir.Shape([x.shape[i] for i in others]), zero, one, name)
    _, y = tape.op_multi_out(
        "Scan",
        [begin, x],
        {"body": body, "num_scan_inputs": 1, "scan_input_axes": [axis], "scan_output_axes": [axis]},
        num_outputs=2,
        name=name,
    )
    return [y]


def _body(kind: ir.TypeProtocol | None, shape: ir.Shape, zero: ir.Value, one: ir.Value, name: str) -> ir.Graph:
    """A step: what has been summed, and the next values of x, both without the axis."""
    state, x = (ir.Value(name=f"{name}.{label}", type=kind, shape=shape) for label in ("state", "x"))
    record = ir.tape.Tape()
    larger, smaller = record.op("Max", [state, x]), record.op("Min", [state, x])
    # The difference of two equal infinities is no number.
    apart = record.op("Where", [record.op("Equal", [state, x]), zero, record.op("Sub", [smaller, larger])])
    after = record.op("Add", [larger, _log1p(record, record.op("Exp", [apart]), zero, one)])
    output = record.op("Identity", [after])
    for result in (after, output):
        result.type, result.shape = kind, shape
    for i, each in enumerate(record.nodes):
        each.outputs[0].name = f"{name}.{each.op_type.lower()}_{i}"
    return ir.Graph([state, x], [after, output], nodes=record.nodes, name=name)


def _log1p(tape: ir.tape.Tape, x: ir.Value, zero: ir.Value, one: ir.Value) -> ir.Value:
    """log(1 + x), which ONNX lacks, to the last digits: what 1 + x loses of a small x is made good.

    Source: Goldberg, "What every computer scientist should know about floating-point arithmetic", 1991, theorem 4.
    """
    rounded = tape.op("Add", [one, x])
    kept = tape.op("Sub", [rounded, one])
    exact = tape.op("Mul", [tape.op("Log", [rounded]), tape.op("Div", [x, kept])])
    return tape.op("Where", [tape.op("Equal", [kept, zero]), x, exact])
