"""Lower a recurrent stack to a `Scan` over time per layer and direction, with the input's product before the loop.

Source: ONNX operator specification, Scan-16 and later. `steps` has the nodes of one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .ragged import Lengths
from .stack import Layer, Stack, constant_array, initializer
from .steps import STEPS, Step, Weights


def lower_scan(stack: Stack, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes for a stack of layers on `tape`; returns y [T, N, D*R], h_n [L*D, N, R] and of an LSTM c_n.

    Beyond a sequence's length y is zero; its final states are those at its own end, or zero if its length is 0.

    Raises:
        CaptureError: the stack's weights are computed in the model's forward.
    """
    y = stack.x
    finals: list[list[ir.Value]] = [[] for _ in stack.state_names]
    mask = None if stack.lengths is None else _column(stack, tape, Lengths(stack.lengths, tape, None).mask, "mask")
    for layer in stack.layers:
        outputs = []
        for direction in range(stack.num_directions):
            row = layer.index * stack.num_directions + direction
            states = [
                _state(stack, tape, name, size, row)
                for name, size in zip(stack.state_names, stack.state_sizes, strict=True)
            ]
            *ends, steps = _scan(stack, tape, layer, direction, y, states, mask)
            outputs.append(steps)
            for final, end in zip(finals, ends, strict=True):
                final.append(end)
        y = outputs[0] if len(outputs) == 1 else tape.op("Concat", outputs, {"axis": 2})
        y.name = f"{layer.name}.output"
        y.type = stack.x.type
        y.shape = ir.Shape([*_time_and_batch(stack), stack.output_size * stack.num_directions])
    return [y, *(_stacked(stack, tape, name, ends) for name, ends in zip(stack.final_names, finals, strict=True))]


def _scan(
    stack: Stack,
    tape: ir.tape.Tape,
    layer: Layer,
    direction: int,
    x: ir.Value,
    states: Sequence[ir.Value],
    mask: ir.Value | None,
) -> Sequence[ir.Value]:
    """One direction of one layer: its final states [N, R] and [N, H], then its steps [T, N, R]."""
    suffix = f"_l{layer.index}" + ("_reverse" if direction else "")
    name = f"{layer.name}{'.reverse' if direction else ''}"
    step = STEPS[stack.kind]
    arrays = step.arrange({role: constant_array(value) for role, value in layer.directions[direction].items()})
    weights = {role: initializer(tape, f"{layer.prefix}.{role}{suffix}", array) for role, array in arrays.items()}
    over = [_product(tape, x, weights[matrix], weights.get(bias)) for matrix, bias in step.products]
    widths = [arrays[matrix].shape[1] for matrix, _ in step.products]
    body = _body(stack, tape, step, weights, widths, name)
    if mask is not None:
        over.append(mask)
    return tape.op_multi_out(
        "Scan",
        [*states, *over],
        {
            "body": body,
            "num_scan_inputs": len(over),
            "scan_input_directions": [direction] * len(over),
            "scan_output_directions": [direction],
        },
        num_outputs=len(states) + 1,
        name=name,
    )


def _product(tape: ir.tape.Tape, x: ir.Value, matrix: ir.Value, bias: ir.Value | None) -> ir.Value:
    product = tape.op("MatMul", [x, matrix])
    return product if bias is None else tape.op("Add", [product, bias])


def _body(stack: Stack, tape: ir.tape.Tape, step: Step, weights: Weights, widths: Sequence[int], name: str) -> ir.Graph:
    """The step: from states and products of the input, of those widths, to the next states and the output [N, R].

    With lengths it takes a mask [N, 1] too; where that is false, the states stay as they are and the output is zero.
    """
    _, N = _time_and_batch(stack)

    def value(label: str, width: int, dtype: ir.TypeProtocol | None = stack.x.type) -> ir.Value:
        return ir.Value(name=f"{name}.{label}", type=dtype, shape=ir.Shape([N, width]))

    states = [value(*pair) for pair in zip(stack.state_names, stack.state_sizes, strict=True)]
    inputs = [value(f"x{k or ''}", width) for k, width in enumerate(widths)]
    record = ir.tape.Tape()
    after = step.nodes(record, inputs, states, weights)
    if stack.lengths is None:
        output = record.op("Identity", [after[0]])
    else:
        mask = value("mask", 1, ir.TensorType(ir.DataType.BOOL))
        inputs.append(mask)
        output = record.op("Where", [mask, after[0], _zero(stack, tape)])
        after = [record.op("Where", [mask, new, old]) for new, old in zip(after, states, strict=True)]
    for result, size in zip((*after, output), (*stack.state_sizes, stack.output_size), strict=True):
        result.type, result.shape = stack.x.type, ir.Shape([N, size])
    # Names inside a body must differ from all names around it.
    for i, node in enumerate(record.nodes):
        for k, result in enumerate(node.outputs):
            result.name = f"{name}.{node.op_type.lower()}_{i}_{k}"
    return ir.Graph([*states, *inputs], [*after, output], nodes=record.nodes, name=name)


def _time_and_batch(stack: Stack) -> tuple[ir.SymbolicDim | int, ir.SymbolicDim | int]:
    assert stack.x.shape is not None
    return stack.x.shape[0], stack.x.shape[1]


def _state(stack: Stack, tape: ir.tape.Tape, name: str, size: int, row: int) -> ir.Value:
    """The initial state of one layer and direction: [N, R] of h, [N, H] of c."""
    if name not in stack.states:
        return _zero_state(stack, tape, size)
    index = initializer(tape, f"{stack.prefix}.row{row}", np.array(row, np.int64))
    state = tape.op("Gather", [stack.states[name], index], {"axis": 0})
    if stack.lengths is None:
        return state
    # As in ONNX Runtime's own kernels, the final state of a sequence of length 0 is zero.
    none = initializer(tape, "no_step", np.array(0, np.int64))
    has_steps = _column(stack, tape, tape.op("Greater", [stack.lengths, none]), "has_steps")
    return tape.op("Where", [has_steps, state, _zero(stack, tape)])


def _column(stack: Stack, tape: ir.tape.Tape, mask: ir.Value, name: str) -> ir.Value:
    """[..., N] as [..., N, 1]."""
    column = tape.op("Unsqueeze", [mask, initializer(tape, "last_axis", np.array([-1], np.int64))])
    column.name = f"{stack.prefix}.{name}"
    return column


def _zero(stack: Stack, tape: ir.tape.Tape) -> ir.Value:
    assert stack.dtype is not None
    return initializer(tape, f"{stack.prefix}.zero", np.array(0, stack.dtype.numpy()))


def _zero_state(stack: Stack, tape: ir.tape.Tape, size: int) -> ir.Value:
    """Zeros [N, size], with N read from the input, because a Scan has no default for its states."""
    batch = tape.op("Shape", [stack.x], {"start": 1, "end": 2})
    width = initializer(tape, f"{stack.prefix}.size{size}", np.array([size], np.int64))
    shape = tape.op("Concat", [batch, width], {"axis": 0})
    zero = ir.tensor(np.zeros(1, stack.x.dtype.numpy()))  # type: ignore[union-attr]
    return tape.op("ConstantOfShape", [shape], {"value": zero})


def _stacked(stack: Stack, tape: ir.tape.Tape, name: str, ends: Sequence[ir.Value]) -> ir.Value:
    """Final states [N, size] as one [L*D, N, size]."""
    axis = initializer(tape, "state_axis", np.array([0], np.int64))
    rows = [tape.op("Unsqueeze", [end, axis]) for end in ends]
    stacked = rows[0] if len(rows) == 1 else tape.op("Concat", rows, {"axis": 0})
    stacked.name = f"{stack.prefix}.{name}"
    return stacked
