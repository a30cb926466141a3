"""Lower `torch.linalg.solve_triangular` to an ONNX `Scan`: row by row, each from those that are solved.

    x_i = (b_i - sum over j < i of a_ij x_j) / a_ii

The chunks of a delta rule are solved so. Products of powers, (I - A)(I + A^2)(I + A^4)..., take fewer steps, but lose
in their sums what substitution keeps, and overflow where the entries are large.
Source: Yang et al., "Parallelizing Linear Transformers with the Delta Rule over Sequence Length", 2024.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from .stack import initializer


def lower_solve_triangular(node: ir.Node, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes on `tape`: X with A X = B, or X A = B; what is not of the triangle of A is never read."""
    a, b = node.inputs
    assert a is not None
    assert b is not None
    is_upper, is_left, is_unit = (bool(node.attributes[name].as_int()) for name in ("upper", "left", "unit"))
    a, b = matched(tape, a, b), matched(tape, b, a)
    if not is_left:
        a, b, is_upper = transposed(tape, a), transposed(tape, b), not is_upper
    x = _scan(node.name or "solve", tape, a, b, is_upper=is_upper, is_unit=is_unit)
    return [x if is_left else transposed(tape, x)]


def matched(tape: ir.tape.Tape, x: ir.Value, other: ir.Value) -> ir.Value:
    """As many matrices as the other has, for the state of a loop keeps its shape."""
    dims, others = _shape(x), _shape(other)
    if list(dims[:-2]) == list(others[:-2]):
        return x
    ends = [initializer(tape, name, np.array(n, np.int64)) for name, n in (("begin", [0]), ("but_matrix", [-2]))]
    ones = initializer(tape, "any_matrix", np.ones(2, np.int64))
    batch = tape.op("Slice", [tape.op("Shape", [other]), *ends])
    made = tape.op("Expand", [x, tape.op("Concat", [batch, ones], {"axis": 0})])
    longer, shorter = sorted([[*dims[:-2]], [*others[:-2]]], key=len, reverse=True)
    shorter = [*[1] * (len(longer) - len(shorter)), *shorter]
    sizes = [n if m == 1 else m for n, m in zip(longer, shorter, strict=True)]
    return typed(made, x.dtype, [*sizes, *dims[-2:]])


def transposed(tape: ir.tape.Tape, x: ir.Value) -> ir.Value:
    dims = _shape(x)
    axes = list(range(len(dims)))
    made = tape.op("Transpose", [x], {"perm": [*axes[:-2], axes[-1], axes[-2]]})
    return typed(made, x.dtype, [*dims[:-2], dims[-1], dims[-2]])


def _scan(name: str, tape: ir.tape.Tape, a: ir.Value, b: ir.Value, *, is_upper: bool, is_unit: bool) -> ir.Value:
    """X, to which a step adds a row; those that are not solved are zeros."""
    *batch, n, width = _shape(b)
    sizes = tape.op("Shape", [b])
    first, last, one = (initializer(tape, f"number_{i}", np.array(i, np.int64)) for i in (0, -2, 1))
    places = tape.op("Range", [first, tape.op("Gather", [sizes, last]), one])
    x = typed(ir.Value(name=f"{name}.x"), b.dtype, [*batch, n, width])
    row = typed(ir.Value(name=f"{name}.a"), b.dtype, [*batch, n])
    value = typed(ir.Value(name=f"{name}.b"), b.dtype, [*batch, width])
    place = typed(ir.Value(name=f"{name}.place"), ir.DataType.INT64, [])
    record = ir.tape.Tape()
    axis = {i: initializer(tape, f"axis_{-i}_from_the_end", np.array([i], np.int64)) for i in (-1, -2)}
    zero = initializer(tape, "nothing", np.zeros((), _dtype(b).numpy()))
    is_here = record.op("Equal", [places, place])
    is_solved = record.op("Greater" if is_upper else "Less", [places, place])
    known = record.op("Unsqueeze", [record.op("Where", [is_solved, row, zero]), axis[-2]])
    rest = record.op("Sub", [record.op("Unsqueeze", [value, axis[-2]]), record.op("MatMul", [known, x])])
    if not is_unit:
        diagonal = record.op("ReduceSum", [record.op("Where", [is_here, row, zero]), axis[-1]])
        rest = record.op("Div", [rest, record.op("Unsqueeze", [diagonal, axis[-1]])])
    after = typed(record.op("Where", [record.op("Unsqueeze", [is_here, axis[-1]]), rest, x]), b.dtype, list(_shape(x)))
    for i, each in enumerate(record.nodes):
        each.outputs[0].name = f"{name}.{each.op_type.lower()}_{i}"
    body = ir.Graph([x, row, value, place], [after], nodes=record.nodes, name=f"{name}.rows")
    begin = tape.op("ConstantOfShape", [sizes], {"value": ir.tensor(np.zeros(1, _dtype(b).numpy()))})
    ways = {"scan_input_axes": [len(batch), len(batch), 0], "scan_input_directions": [int(is_upper)] * 3}
    attributes: dict[str, Any] = {"body": body, "num_scan_inputs": 3, **ways}
    return typed(tape.op("Scan", [begin, a, b, places], attributes, name=name), b.dtype, [*batch, n, width])


def _shape(x: ir.Value) -> ir.Shape:
    assert x.shape is not None
    return x.shape


def _dtype(x: ir.Value) -> ir.DataType:
    assert x.dtype is not None
    return x.dtype


def typed(x: ir.Value, dtype: ir.DataType | None, dims: list[Any]) -> ir.Value:
    assert dtype is not None
    x.type, x.shape = ir.TensorType(dtype), ir.Shape(dims)
    return x
