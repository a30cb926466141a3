"""Recurrence as an ONNX `Scan` over time per layer and direction, with the input's product taken out of the loop.

Sources: ONNX operator specification, Scan-16 and later; the equations in the documentation of torch.nn.RNN, GRU and
LSTM. The gates keep PyTorch's order: r, z, n of a GRU and i, f, g, o of an LSTM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from .graph import constant_array, initializer
from .ragged import Lengths
from .stack import GATES, Layer, Stack

Weights = Mapping[str, ir.Value]


def lower_scan(stack: Stack, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes for a stack of layers on `tape`; returns y [T, N, D*R], h_n [L*D, N, R] and of an LSTM c_n.

    Beyond a sequence's length y is zero; its final states are those at its own end, or zero where it has no step.

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
    # Matrices are stored as the products need them; PyTorch's are transposed.
    weights = {
        role: initializer(tape, f"{layer.prefix}.{role}{suffix}", np.ascontiguousarray(constant_array(value).T))
        for role, value in layer.directions[direction].items()
    }
    projected = tape.op("MatMul", [x, weights["weight_ih"]])
    if "bias_ih" in weights:
        projected = tape.op("Add", [projected, weights["bias_ih"]])
    name = f"{layer.name}{'.reverse' if direction else ''}"
    over = [projected] if mask is None else [projected, mask]
    return tape.op_multi_out(
        "Scan",
        [*states, *over],
        {
            "body": _body(stack, tape, weights, name),
            "num_scan_inputs": len(over),
            "scan_input_directions": [direction] * len(over),
            "scan_output_directions": [direction],
        },
        num_outputs=len(states) + 1,
        name=name,
    )


def _body(stack: Stack, tape: ir.tape.Tape, weights: Weights, name: str) -> ir.Graph:
    """The step: states and the projected input [N, G*H] to the next states and the step's output [N, R].

    With lengths there is a mask [N, 1] too: where it is false, the states stay as they are and the output is zero.
    """
    _, N = _time_and_batch(stack)
    width = GATES[stack.kind] * stack.hidden_size
    states = [
        ir.Value(name=f"{name}.{state}", type=stack.x.type, shape=ir.Shape([N, size]))
        for state, size in zip(stack.state_names, stack.state_sizes, strict=True)
    ]
    x = ir.Value(name=f"{name}.x", type=stack.x.type, shape=ir.Shape([N, width]))
    step = ir.tape.Tape()
    hidden = step.op("MatMul", [states[0], weights["weight_hh"]])
    if "bias_hh" in weights:
        hidden = step.op("Add", [hidden, weights["bias_hh"]])
    sizes = initializer(tape, f"{stack.prefix}.gates", np.full(GATES[stack.kind], stack.hidden_size, np.int64))
    after = _STEPS[stack.kind](step, x, hidden, states, sizes)
    if "weight_hr" in weights:
        after[0] = step.op("MatMul", [after[0], weights["weight_hr"]])
    inputs = [*states, x]
    if stack.lengths is None:
        output = step.op("Identity", [after[0]])
    else:
        mask = ir.Value(name=f"{name}.mask", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([N, 1]))
        inputs.append(mask)
        output = step.op("Where", [mask, after[0], _zero(stack, tape)])
        after = [step.op("Where", [mask, new, old]) for new, old in zip(after, states, strict=True)]
    for value, size in zip((*after, output), (*stack.state_sizes, stack.output_size), strict=True):
        value.type, value.shape = stack.x.type, ir.Shape([N, size])
    # A name inside a body must differ from every name around it.
    for i, node in enumerate(step.nodes):
        for k, value in enumerate(node.outputs):
            value.name = f"{name}.{node.op_type.lower()}_{i}_{k}"
    return ir.Graph(inputs, [*after, output], nodes=step.nodes, name=name)


def _time_and_batch(stack: Stack) -> tuple[ir.SymbolicDim | int, ir.SymbolicDim | int]:
    assert stack.x.shape is not None
    return stack.x.shape[0], stack.x.shape[1]


def _rnn(activation: str) -> Callable[..., list[ir.Value]]:
    def step(tape: ir.tape.Tape, x: ir.Value, hidden: ir.Value, *_: object) -> list[ir.Value]:
        return [tape.op(activation, [tape.op("Add", [x, hidden])])]

    return step


def _gru(
    tape: ir.tape.Tape, x: ir.Value, hidden: ir.Value, states: Sequence[ir.Value], sizes: ir.Value
) -> list[ir.Value]:
    x_r, x_z, x_n = tape.op_multi_out("Split", [x, sizes], {"axis": -1}, num_outputs=3)
    h_r, h_z, h_n = tape.op_multi_out("Split", [hidden, sizes], {"axis": -1}, num_outputs=3)
    r = tape.op("Sigmoid", [tape.op("Add", [x_r, h_r])])
    z = tape.op("Sigmoid", [tape.op("Add", [x_z, h_z])])
    n = tape.op("Tanh", [tape.op("Add", [x_n, tape.op("Mul", [r, h_n])])])
    kept = tape.op("Mul", [z, tape.op("Sub", [states[0], n])])
    return [tape.op("Add", [n, kept])]


def _lstm(
    tape: ir.tape.Tape, x: ir.Value, hidden: ir.Value, states: Sequence[ir.Value], sizes: ir.Value
) -> list[ir.Value]:
    gates = tape.op_multi_out("Split", [tape.op("Add", [x, hidden]), sizes], {"axis": -1}, num_outputs=4)
    i, f, o = (tape.op("Sigmoid", [gates[k]]) for k in (0, 1, 3))
    g = tape.op("Tanh", [gates[2]])
    c = tape.op("Add", [tape.op("Mul", [f, states[1]]), tape.op("Mul", [i, g])])
    return [tape.op("Mul", [o, tape.op("Tanh", [c])]), c]


_STEPS: Mapping[str, Callable[..., list[ir.Value]]] = {
    "rnn_tanh": _rnn("Tanh"),
    "rnn_relu": _rnn("Relu"),
    "gru": _gru,
    "lstm": _lstm,
}


def _state(stack: Stack, tape: ir.tape.Tape, name: str, size: int, row: int) -> ir.Value:
    """The initial state of one layer and direction: [N, R] of h, [N, H] of c."""
    if name not in stack.states:
        return _zero_state(stack, tape, size)
    index = initializer(tape, f"{stack.prefix}.row{row}", np.array(row, np.int64))
    state = tape.op("Gather", [stack.states[name], index], {"axis": 0})
    if stack.lengths is None:
        return state
    # A sequence without a step ends, as in ONNX Runtime's own kernels, in zero.
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
    """Zeros [N, size], with N read from the input: a Scan has no default for its states."""
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
