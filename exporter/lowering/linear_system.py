"""Lower `torch.linalg.solve` and `inv` to an ONNX `Scan`: Gauss-Jordan elimination, a column in each step.

Step k takes as pivot the row of the largest |m_ik|, i >= k, brings it to place k, divides it by m_kk, and takes it off
all other rows:  m_i <- m_i - m_ik * m_k.  In the end [A | B] is [I | X].  It is computed in float64: the matrices are
small, such as the innovations of a Kalman filter, and then the result is as good as A is conditioned.  Of a singular A
come infinities or NaN, where PyTorch raises.
Source: Golub and Van Loan, "Matrix Computations", 4th edition, 3.4 (partial pivoting).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from .stack import initializer
from .triangular import matched, transposed, typed

_WIDE = ir.DataType.DOUBLE


def lower_solve(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes on `tape`: X with A X = B, or X A = B; a `b` of one dimension less than a holds vectors."""
    a, b = node.inputs
    assert a is not None
    assert b is not None
    is_left, is_vector = (bool(node.attributes[name].as_int()) for name in ("left", "vector"))
    last = initializer(tape, "last", np.array([-1], np.int64))
    if is_vector:
        b = typed(tape.op("Unsqueeze", [b, last]), b.dtype, [*_dims(b), 1])
    a, b = matched(tape, a, b), matched(tape, b, a)
    if is_left or is_vector:
        x = _eliminated(node.name or "solve", tape, a, b)
    else:
        x = transposed(tape, _eliminated(node.name or "solve", tape, transposed(tape, a), transposed(tape, b)))
    return [tape.op("Squeeze", [x, last]) if is_vector else x]


def lower_inverse(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes on `tape`: the inverse of A [*, n, n], as the X with A X = I."""
    (a,) = node.inputs
    assert a is not None
    assert a.dtype is not None
    last = initializer(tape, "last", np.array([-1], np.int64))
    places = _places(tape, a)
    unit = tape.op("Equal", [tape.op("Unsqueeze", [places, last]), places])
    identity = typed(tape.op("Cast", [unit], {"to": a.dtype.value}), a.dtype, _dims(a)[-2:])
    return [_eliminated(node.name or "inverse", tape, a, matched(tape, identity, a))]


def _places(tape: ir.tape.Tape, a: ir.Value) -> ir.Value:
    """0 to n - 1, for a of [*, n, n]."""
    first, one, end = (initializer(tape, f"number_{i}", np.array(i, np.int64)) for i in (0, 1, -1))
    return tape.op("Range", [first, tape.op("Gather", [tape.op("Shape", [a]), end]), one])


def _eliminated(name: str, tape: ir.tape.Tape, a: ir.Value, b: ir.Value) -> ir.Value:
    """X [*, n, m] with A X = B: what stands at the right of [A | B] when the left is the unit matrix."""
    *batch, n, width = _dims(b)
    places = _places(tape, a)
    both = tape.op("Concat", [tape.op("Cast", [each], {"to": _WIDE.value}) for each in (a, b)], {"axis": -1})
    joined = [*batch, n, n + width if isinstance(n, int) and isinstance(width, int) else None]
    typed(both, _WIDE, joined)
    body = _step(name, tape, places, joined)
    attributes: dict[str, Any] = {"body": body, "num_scan_inputs": 1}
    done = typed(tape.op("Scan", [both, places], attributes, name=name), _WIDE, joined)
    far = initializer(tape, "far", np.array([np.iinfo(np.int64).max], np.int64))
    begin = tape.op("Shape", [places])
    right = tape.op("Slice", [done, begin, far, initializer(tape, "last", np.array([-1], np.int64))])
    assert b.dtype is not None
    return typed(tape.op("Cast", [right], {"to": b.dtype.value}), b.dtype, [*batch, n, width])


def _step(name: str, tape: ir.tape.Tape, places: ir.Value, joined: list[Any]) -> ir.Graph:
    """One column: `m` [*, n, n + m] and its place k give the next m."""
    m, k = typed(ir.Value(name=f"{name}.m"), _WIDE, joined), typed(ir.Value(name=f"{name}.k"), ir.DataType.INT64, [])
    record = ir.tape.Tape()
    last, rows = (initializer(tape, label, np.array([i], np.int64)) for label, i in (("last", -1), ("rows", -2)))
    zero, least = (initializer(tape, f"float64_{i}", np.array(i, np.float64)) for i in (0, -1))
    column = record.op("Gather", [m, k], {"axis": -1})
    is_left = record.op("GreaterOrEqual", [places, k])
    size = record.op("Where", [is_left, record.op("Abs", [column]), least])
    pivot = record.op("ArgMax", [size], {"axis": -1, "keepdims": 1})
    is_pivot = record.op("Unsqueeze", [record.op("Equal", [places, pivot]), last])
    is_here = record.op("Unsqueeze", [record.op("Equal", [places, k]), last])
    chosen = record.op("ReduceSum", [record.op("Where", [is_pivot, m, zero]), rows], {"keepdims": 1})
    here = record.op("ReduceSum", [record.op("Where", [is_here, m, zero]), rows], {"keepdims": 1})
    swapped = record.op("Where", [is_pivot, here, m])
    scale = record.op("Unsqueeze", [record.op("Gather", [chosen, k], {"axis": -1}), last])
    row = record.op("Div", [chosen, scale])
    factor = record.op("Unsqueeze", [record.op("Gather", [swapped, k], {"axis": -1}), last])
    rest = record.op("Sub", [swapped, record.op("Mul", [factor, row])])
    after = typed(record.op("Where", [is_here, row, rest]), _WIDE, joined)
    for i, each in enumerate(record.nodes):
        each.outputs[0].name = f"{name}.{each.op_type.lower()}_{i}"
    return ir.Graph([m, k], [after], nodes=record.nodes, name=f"{name}.columns")


def _dims(x: ir.Value) -> list[Any]:
    assert x.shape is not None
    return [*x.shape]
