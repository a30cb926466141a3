"""Recurrence as an ONNX `Scan` over time per layer and direction, with the input's product taken out of the loop.

Sources: ONNX operator specification, Scan-16 and later; the equations in the documentation of torch.nn.RNN, GRU and
LSTM. The gates keep PyTorch's order: r, z, n of a GRU and i, f, g, o of an LSTM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from .graph import constant_array, initializer
from .stack import Layer, Stack

_GATES = {"rnn_tanh": 1, "rnn_relu": 1, "gru": 3, "lstm": 4}


def lower_scan(stack: Stack, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes for a stack of layers on `tape`; returns y [T, N, D*H], h_n and for an LSTM c_n [L*D, N, H].

    Raises:
        CaptureError: the stack's weights are computed in the model's forward.
    """
    y = stack.x
    finals: list[list[ir.Value]] = [[] for _ in stack.state_names]
    zero = None if len(stack.states) == len(stack.state_names) else _zero_state(stack, tape)
    for layer in stack.layers:
        outputs = []
        for direction in range(stack.num_directions):
            row = layer.index * stack.num_directions + direction
            states = [_state(stack, tape, name, row, zero) for name in stack.state_names]
            *ends, steps = _scan(stack, tape, layer, direction, y, states)
            outputs.append(steps)
            for final, end in zip(finals, ends, strict=True):
                final.append(end)
        y = outputs[0] if len(outputs) == 1 else tape.op("Concat", outputs, {"axis": 2})
        y.name = f"{layer.name}.output"
    return [y, *(_stacked(stack, tape, name, ends) for name, ends in zip(stack.final_names, finals, strict=True))]


def _scan(
    stack: Stack, tape: ir.tape.Tape, layer: Layer, direction: int, x: ir.Value, states: Sequence[ir.Value]
) -> Sequence[ir.Value]:
    """One direction of one layer: its final states [N, H], then its steps [T, N, H]."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    suffix = f"_l{layer.index}" + ("_reverse" if direction else "")
    arrays = [constant_array(value) for value in layer.directions[direction]]
    # Matrices are stored as the products need them; PyTorch's are transposed.
    weights = {
        name: initializer(tape, f"{layer.prefix}.{name}{suffix}", np.ascontiguousarray(array.T))
        for name, array in zip(names, arrays, strict=False)
    }
    projected = tape.op("MatMul", [x, weights["weight_ih"]])
    if "bias_ih" in weights:
        projected = tape.op("Add", [projected, weights["bias_ih"]])
    body = _body(stack, tape, weights, f"{layer.name}{'.reverse' if direction else ''}")
    return tape.op_multi_out(
        "Scan",
        [*states, projected],
        {
            "body": body,
            "num_scan_inputs": 1,
            "scan_input_directions": [direction],
            "scan_output_directions": [direction],
        },
        num_outputs=len(states) + 1,
        name=body.name,
    )


def _body(stack: Stack, tape: ir.tape.Tape, weights: Mapping[str, ir.Value], name: str) -> ir.Graph:
    """The step: states [N, H] and the projected input [N, G*H] to the next states and, once more, the next h."""
    assert stack.x.shape is not None
    N, H, gates = stack.x.shape[1], stack.hidden_size, _GATES[stack.kind]
    states = [
        ir.Value(name=f"{name}.{state}", type=stack.x.type, shape=ir.Shape([N, H])) for state in stack.state_names
    ]
    x = ir.Value(name=f"{name}.x", type=stack.x.type, shape=ir.Shape([N, gates * H]))
    step = ir.tape.Tape()
    hidden = step.op("MatMul", [states[0], weights["weight_hh"]])
    if "bias_hh" in weights:
        hidden = step.op("Add", [hidden, weights["bias_hh"]])
    sizes = initializer(tape, f"{stack.prefix}.gates", np.full(gates, H, np.int64))
    after = _STEPS[stack.kind](step, x, hidden, states, sizes)
    steps = step.op("Identity", [after[0]])
    for value in (*after, steps):
        value.type, value.shape = stack.x.type, ir.Shape([N, H])
    # A name inside a body must differ from every name around it.
    for i, node in enumerate(step.nodes):
        for k, value in enumerate(node.outputs):
            value.name = f"{name}.{node.op_type.lower()}_{i}_{k}"
    return ir.Graph([*states, x], [*after, steps], nodes=step.nodes, name=name)


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


def _state(stack: Stack, tape: ir.tape.Tape, name: str, row: int, zero: ir.Value | None) -> ir.Value:
    """The initial state [N, H] of one layer and direction."""
    if name not in stack.states:
        assert zero is not None
        return zero
    index = initializer(tape, f"{stack.prefix}.row{row}", np.array(row, np.int64))
    return tape.op("Gather", [stack.states[name], index], {"axis": 0})


def _zero_state(stack: Stack, tape: ir.tape.Tape) -> ir.Value:
    """Zeros [N, H], with N read from the input: a Scan has no default for its states."""
    batch = tape.op("Shape", [stack.x], {"start": 1, "end": 2})
    hidden = initializer(tape, f"{stack.prefix}.hidden_size", np.array([stack.hidden_size], np.int64))
    shape = tape.op("Concat", [batch, hidden], {"axis": 0})
    zero = ir.tensor(np.zeros(1, stack.x.dtype.numpy()))  # type: ignore[union-attr]
    return tape.op("ConstantOfShape", [shape], {"value": zero})


def _stacked(stack: Stack, tape: ir.tape.Tape, name: str, ends: Sequence[ir.Value]) -> ir.Value:
    """Final states [N, H] as one [L*D, N, H]."""
    axis = initializer(tape, "state_axis", np.array([0], np.int64))
    rows = [tape.op("Unsqueeze", [end, axis]) for end in ends]
    stacked = rows[0] if len(rows) == 1 else tape.op("Concat", rows, {"axis": 0})
    stacked.name = f"{stack.prefix}.{name}"
    return stacked
