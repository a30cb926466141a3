"""Lower a recurrent stack to ONNX's own RNN, GRU and LSTM operators, one node per layer.

Sources: ONNX operator specification, RNN-14, GRU-14 and LSTM-14 (inputs W, R and B; gates `zrh` of GRU, `iofc` of
LSTM); torch.nn.RNN, GRU and LSTM (gate order of their parameters). `layout` stays 0 (time-first), the only layout that
ONNX Runtime's kernels take. A GRU has `linear_before_reset=1`, which is PyTorch's form of the candidate gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from .stack import Array, Layer, Stack, constant_array, initializer, reorder_gates

_OP_TYPES = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "gru": "GRU", "lstm": "LSTM"}

# Which of PyTorch's gates stands at each place in ONNX: PyTorch has r, z, n for a GRU and i, f, g, o for an LSTM.
GATE_ORDER = {"rnn_tanh": (0,), "rnn_relu": (0,), "gru": (1, 0, 2), "lstm": (0, 3, 1, 2)}


@dataclass(frozen=True)
class OnnxWeights:
    """One layer's weights: W [D, G*H, I], R [D, G*H, H], B [D, 2*G*H] or None without biases."""

    W: Array
    R: Array
    B: Array | None


def onnx_weights(kind: str, directions: Sequence[Sequence[Array]]) -> OnnxWeights:
    """One layer's weights with gates reordered, directions stacked and biases joined.

    Each direction is (weight_ih, weight_hh) or (weight_ih, weight_hh, bias_ih, bias_hh).
    """
    order = GATE_ORDER[kind]
    reordered = [[reorder_gates(array, order) for array in direction] for direction in directions]
    biases = [np.concatenate(direction[2:]) for direction in reordered if len(direction) == 4]
    return OnnxWeights(
        W=np.stack([direction[0] for direction in reordered]),
        R=np.stack([direction[1] for direction in reordered]),
        B=np.stack(biases) if biases else None,
    )


def lower_native(stack: Stack, tape: ir.tape.Tape) -> list[ir.Value]:
    """Record the nodes for a stack of layers on `tape`; returns y [T, N, D*H], h_n and for an LSTM c_n [L*D, N, H].

    Beyond a sequence's length y is zero; its final states are those at its own end, or zero if its length is 0.

    Raises:
        CaptureError: the stack's weights are computed in the model's forward.
    """
    initial = {name: _per_layer(stack, tape, name, state) for name, state in stack.states.items()}
    lengths = None if stack.lengths is None else tape.op("Cast", [stack.lengths], {"to": ir.DataType.INT32})
    y, finals = stack.x, []
    for layer in stack.layers:
        states = [initial[name][layer.index] if name in initial else None for name in stack.state_names]
        outputs = _layer(stack, layer, tape, y, lengths, states)
        y = _merge_directions(stack, layer, tape, outputs[0])
        finals.append(outputs[1:])
    return [
        y,
        *(
            _joined(stack, tape, name, parts)
            for name, parts in zip(stack.final_names, zip(*finals, strict=True), strict=True)
        ),
    ]


def _layer(
    stack: Stack,
    layer: Layer,
    tape: ir.tape.Tape,
    x: ir.Value,
    lengths: ir.Value | None,
    states: Sequence[ir.Value | None],
) -> Sequence[ir.Value]:
    weights = onnx_weights(
        stack.kind, [[constant_array(value) for value in direction.values()] for direction in layer.directions]
    )
    names = [str(value.name) for value in layer.directions[0].values()]
    W, R, B = (
        None if array is None else initializer(tape, name, array)
        for name, array in zip(
            (names[0], names[1], f"{layer.prefix}.bias_l{layer.index}"),
            (weights.W, weights.R, weights.B),
            strict=True,
        )
    )
    attributes: dict[str, int | str | list[str]] = {"hidden_size": stack.hidden_size}
    if stack.bidirectional:
        attributes["direction"] = "bidirectional"
    if stack.kind == "gru":
        attributes["linear_before_reset"] = 1
    if stack.kind == "rnn_relu":
        attributes["activations"] = ["Relu"] * stack.num_directions
    inputs = [x, W, R, B, lengths, *states]
    while inputs[-1] is None:
        inputs.pop()
    outputs = [
        ir.Value(name=f"{layer.name}.{name}", type=x.type, shape=shape)
        for name, shape in zip(("Y", "Y_h", "Y_c"), _shapes(stack, x), strict=False)
    ][: 1 + len(stack.state_names)]
    tape.op_multi_out(_OP_TYPES[stack.kind], inputs, attributes, outputs=outputs, name=layer.name)
    return outputs


def _shapes(stack: Stack, x: ir.Value) -> list[ir.Shape]:
    assert x.shape is not None
    T, N = x.shape[0], x.shape[1]
    state = ir.Shape([stack.num_directions, N, stack.hidden_size])
    return [ir.Shape([T, stack.num_directions, N, stack.hidden_size]), state, state]


def _merge_directions(stack: Stack, layer: Layer, tape: ir.tape.Tape, y: ir.Value) -> ir.Value:
    """ONNX's [T, D, N, H] as [T, N, D*H]."""
    assert y.shape is not None
    T, D, N, H = y.shape
    shape = ir.Shape([T, N, stack.hidden_size * stack.num_directions])
    merged = ir.Value(name=f"{layer.name}.output", type=y.type, shape=shape)
    if not stack.bidirectional:
        axes = initializer(tape, "direction_axis", np.array([1], np.int64))
        tape.op("Squeeze", [y, axes], output=merged, name=f"{layer.name}.squeeze")
        return merged
    swapped = ir.Value(name=f"{layer.name}.swapped", type=y.type, shape=ir.Shape([T, N, D, H]))
    tape.op("Transpose", [y], {"perm": [0, 2, 1, 3]}, output=swapped, name=f"{layer.name}.swap")
    target = initializer(tape, f"{layer.name}.shape", np.array([0, 0, stack.hidden_size * 2], np.int64))
    tape.op("Reshape", [swapped, target], output=merged, name=f"{layer.name}.merge")
    return merged


def _per_layer(stack: Stack, tape: ir.tape.Tape, name: str, state: ir.Value) -> Sequence[ir.Value]:
    """Initial states [L*D, N, H] as one value [D, N, H] per layer."""
    if len(stack.layers) == 1:
        return [state]
    assert state.shape is not None
    parts = [
        ir.Value(
            name=f"{layer.name}.{name}",
            type=state.type,
            shape=ir.Shape([stack.num_directions, state.shape[1], stack.hidden_size]),
        )
        for layer in stack.layers
    ]
    sizes = np.array([stack.num_directions] * len(parts), np.int64)
    split = initializer(tape, f"{stack.prefix}.{name}.split", sizes)
    tape.op_multi_out("Split", [state, split], {"axis": 0}, outputs=parts, name=f"{stack.prefix}.split_{name}")
    return parts


def _joined(stack: Stack, tape: ir.tape.Tape, name: str, parts: Sequence[ir.Value]) -> ir.Value:
    """Final states [D, N, H] of each layer as one [L*D, N, H]."""
    if len(parts) == 1:
        return parts[0]
    assert parts[0].shape is not None
    shape = ir.Shape([len(parts) * stack.num_directions, parts[0].shape[1], stack.hidden_size])
    joined = ir.Value(name=f"{stack.prefix}.{name}", type=parts[0].type, shape=shape)
    tape.op("Concat", parts, {"axis": 0}, output=joined, name=f"{stack.prefix}.join_{name}")
    return joined
