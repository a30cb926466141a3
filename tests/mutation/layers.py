"""Faults in how ONNX's own recurrent operators are run: attributes, states, sequence lengths."""

from __future__ import annotations

import numpy as np
import onnx

from .graphs import LAYERS, attribute, behind, constant, given, loosened, nodes, op, set_attribute, set_input, tensor
from .kinds import kind

Model = onnx.ModelProto

# Inputs of RNN, GRU and LSTM: X, W, R, B, sequence_lens, initial_h, initial_c, P.
W, R, B, LENGTHS, H0, C0, PEEPHOLES = 1, 2, 3, 4, 5, 6, 7


def _first(model: Model, *op_types: str) -> onnx.NodeProto | None:
    return next(iter(nodes(model, *op_types)), None)


def _directions(node: onnx.NodeProto) -> int:
    found = attribute(node, "direction")
    return 2 if found is not None and found.s == b"bidirectional" else 1


@kind
def reset_gate_before_the_product(model: Model) -> Model | None:
    """A GRU applies its reset gate before the recurrent product, linear_before_reset=0, as in the paper."""
    for node in nodes(model, "GRU"):
        set_attribute(node, "linear_before_reset", 0)
    return model if nodes(model, "GRU") else None


@kind
def another_activation(model: Model) -> Model | None:
    """Another function in place of a layer's tanh or ReLU."""
    node = _first(model, *LAYERS)
    if node is None:
        return None
    kinds = {"RNN": ["Softsign"], "GRU": ["Sigmoid", "Relu"], "LSTM": ["Sigmoid", "Relu", "Tanh"]}[node.op_type]
    set_attribute(node, "activations", kinds * _directions(node))
    return model


@kind
def hard_sigmoid_gates(model: Model) -> Model | None:
    """HardSigmoid in place of the sigmoid of a layer's gates, as Keras had it."""
    node = _first(model, "GRU", "LSTM")
    if node is None:
        return None
    kinds = {"GRU": ["HardSigmoid", "Tanh"], "LSTM": ["HardSigmoid", "Tanh", "Tanh"]}[node.op_type]
    set_attribute(node, "activations", kinds * _directions(node))
    return model


@kind
def backwards(model: Model) -> Model | None:
    """A layer runs from the end."""
    node = next((each for each in nodes(model, *LAYERS) if _directions(each) == 1), None)
    if node is None:
        return None
    set_attribute(node, "direction", "reverse")
    return model


@kind
def directions_swapped(model: Model) -> Model | None:
    """The two directions of a layer have each other's weights."""
    node = next((each for each in nodes(model, *LAYERS) if _directions(each) == 2), None)
    if node is None:
        return None
    for k in (W, R, B):
        array = tensor(model, given(node, k))
        if array is not None:
            set_input(node, k, constant(model, array[::-1].copy()))
    return model


@kind
def clipped(model: Model) -> Model | None:
    """What goes into a layer's activations is clipped to -0.5..0.5."""
    node = _first(model, "GRU", "LSTM")
    if node is None:
        return None
    set_attribute(node, "clip", 0.5)
    return model


@kind
def coupled_gates(model: Model) -> Model | None:
    """An LSTM's forget gate is one minus its input gate, input_forget=1."""
    node = _first(model, "LSTM")
    if node is None:
        return None
    set_attribute(node, "input_forget", 1)
    return model


@kind
def peepholes(model: Model) -> Model | None:
    """An LSTM's gates see the cell state too."""
    node = _first(model, "LSTM")
    recurrent = None if node is None else tensor(model, given(node, R))
    if node is None or recurrent is None:
        return None
    directions, _, hidden = recurrent.shape
    set_input(node, PEEPHOLES, constant(model, np.full((directions, 3 * hidden), 0.1, np.float32)))
    return model


@kind
def initial_state_ignored(model: Model) -> Model | None:
    """A layer that is given its hidden state begins with zero."""
    node = next((each for each in nodes(model, *LAYERS) if given(each, H0)), None)
    if node is None:
        return None
    node.input[H0] = ""
    return model


@kind
def initial_cell_state_ignored(model: Model) -> Model | None:
    """An LSTM that is given its cell state begins with zero."""
    node = next((each for each in nodes(model, "LSTM") if given(each, C0)), None)
    if node is None:
        return None
    node.input[C0] = ""
    return model


@kind
def initial_states_swapped(model: Model) -> Model | None:
    """An LSTM takes h0 for c0 and c0 for h0."""
    node = next((each for each in nodes(model, "LSTM") if given(each, C0)), None)
    if node is None:
        return None
    node.input[H0], node.input[C0] = node.input[C0], node.input[H0]
    return model


@kind
def final_states_swapped(model: Model) -> Model | None:
    """An LSTM gives c_n as h_n and h_n as c_n."""
    node = next((each for each in nodes(model, "LSTM") if len(each.output) == 3 and all(each.output[1:])), None)
    if node is None:
        return None
    node.output[1], node.output[2] = node.output[2], node.output[1]
    return loosened(model)


@kind
def initial_state_shared(model: Model) -> Model | None:
    """The second layer begins with the first one's hidden state."""
    layers = [node for node in nodes(model, *LAYERS) if given(node, H0)]
    shapes = [None if (array := tensor(model, given(node, R))) is None else array.shape for node in layers]
    if len(layers) < 2 or shapes[0] != shapes[1]:
        return None
    layers[1].input[H0] = layers[0].input[H0]
    return model


@kind
def layer_skipped(model: Model) -> Model | None:
    """The second layer's output is the first one's, where both have the same width."""
    layers = nodes(model, *LAYERS)
    shapes = [None if (array := tensor(model, given(node, R))) is None else array.shape for node in layers]
    if len(layers) < 2 or shapes[0] != shapes[1] or not layers[0].output[0] or not layers[1].output[0]:
        return None
    first, second = layers[0].output[0], layers[1].output[0]
    return behind(model, second, lambda _, wrong: [op("Identity", [first], [wrong])])


@kind
def final_state_of_another_layer(model: Model) -> Model | None:
    """The final state of the last layer is the first one's."""
    layers = [node for node in nodes(model, *LAYERS) if len(node.output) > 1 and node.output[1]]
    if len(layers) < 2:
        return None
    first = layers[0].output[1]
    shapes = [None if (array := tensor(model, given(node, R))) is None else array.shape for node in layers]
    if shapes[0] != shapes[-1]:
        return None
    return behind(model, layers[-1].output[1], lambda _, wrong: [op("Identity", [first], [wrong])])


@kind
def lengths_ignored(model: Model) -> Model | None:
    """A layer runs on beyond the end of short sequences."""
    node = next((each for each in nodes(model, *LAYERS) if given(each, LENGTHS)), None)
    if node is None:
        return None
    node.input[LENGTHS] = ""
    return model


@kind
def lengths_one_short(model: Model) -> Model | None:
    """A layer leaves out each sequence's last step."""
    node = next((each for each in nodes(model, *LAYERS) if given(each, LENGTHS)), None)
    if node is None:
        return None
    one = constant(model, np.array(1, np.int32))
    lengths = given(node, LENGTHS)
    producer = next((each for each in model.graph.node if lengths in each.output), None)
    assert producer is not None
    return behind(model, lengths, lambda right, wrong: [op("Sub", [right, one], [wrong])])


@kind
def batch_first_taken_for_time_first(model: Model) -> Model | None:
    """A layer runs over the batch, as if the first axis of its input were the second."""
    node = _first(model, *LAYERS)
    if node is None or any(given(node, k) for k in (LENGTHS, H0, C0)):
        return None
    (place,) = (k for k, each in enumerate(model.graph.node) if each == node)
    turn = op("Transpose", [node.input[0]], ["planted.turned"], perm=[1, 0, 2])
    model.graph.node.insert(place, turn)
    node = model.graph.node[place + 1]
    node.input[0] = "planted.turned"
    if not node.output[0]:
        return None
    perm = [2, 1, 0, 3]
    return behind(model, node.output[0], lambda right, wrong: [op("Transpose", [right], [wrong], perm=perm)])


@kind
def last_step_taken_as_first(model: Model) -> Model | None:
    """What reads a sequence's last step reads its first."""
    for node in nodes(model, "Gather"):
        index = tensor(model, given(node, 1))
        if index is not None and index.size == 1 and int(index.reshape(-1)[0]) == -1:
            set_input(node, 1, constant(model, np.zeros_like(index)))
            return model
    layer = next((each for each in nodes(model, *LAYERS) if _is_only_final(each, model)), None)
    if layer is None:
        return None
    layer.output[0] = layer.output[0] or "planted.steps"
    first = constant(model, np.array(0, np.int64))
    steps = layer.output[0]
    return behind(model, layer.output[1], lambda _, wrong: [op("Gather", [steps, first], [wrong], axis=0)])


def _is_only_final(node: onnx.NodeProto, model: Model) -> bool:
    """Whether a layer's final state is read and its steps are not."""
    read = {name for each in nodes(model, *{node.op_type for node in model.graph.node}) for name in each.input}
    read |= {output.name for output in model.graph.output}
    has_final = len(node.output) > 1 and node.output[1] in read
    return has_final and node.output[0] not in read and _directions(node) == 1


@kind
def state_off_by_one_step(model: Model) -> Model | None:
    """A layer's output at each step is that of the step before."""
    node = next((each for each in nodes(model, *LAYERS) if each.output[0]), None)
    if node is None:
        return None
    start, end, axis = (constant(model, np.array([k], np.int64)) for k in (0, -1, 0))
    first = constant(model, np.array([0], np.int64))

    def between(right: str, wrong: str) -> list[onnx.NodeProto]:
        return [
            op("Gather", [right, first], ["planted.first"], axis=0),
            op("Slice", [right, start, end, axis], ["planted.rest"]),
            op("Concat", ["planted.first", "planted.rest"], [wrong], axis=0),
        ]

    return behind(model, node.output[0], between)


@kind
def dropout_left_on(model: Model) -> Model | None:
    """Dropout of one in ten acts between two layers, or behind the last."""
    node = next((each for each in nodes(model, *LAYERS, "Scan") if each.output[0]), None)
    if node is None or node not in model.graph.node:
        return None
    share = constant(model, np.array(0.1, np.float32))
    value = node.output[0] if node.op_type != "Scan" else node.output[-1]

    # What Dropout does in training mode: ONNX Runtime leaves the operator itself out.
    def between(right: str, wrong: str) -> list[onnx.NodeProto]:
        return [
            op("RandomUniformLike", [right], ["planted.random"], seed=1.0),
            op("Less", ["planted.random", share], ["planted.dropped"]),
            op("Where", ["planted.dropped", constant(model, np.array(0, np.float32)), right], [wrong]),
        ]

    return behind(model, value, between)
