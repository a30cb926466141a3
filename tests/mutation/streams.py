"""Faults in the states that a stream carries from chunk to chunk."""

from __future__ import annotations

import numpy as np
import onnx

from .graphs import behind, constant, dims, op, swap_outputs
from .kinds import kind

Model = onnx.ModelProto


def _states(model: Model) -> list[tuple[onnx.ValueInfoProto, onnx.ValueInfoProto]]:
    """Inputs and outputs that are states of recurrent layers: rnn.0.h0 and rnn.0.h_n."""
    outputs = {value.name: value for value in model.graph.output}
    pairs = [(value, value.name[:-1] + "_n") for value in model.graph.input if value.name.endswith((".h0", ".c0"))]
    return [(value, outputs[name]) for value, name in pairs if name in outputs]


@kind
def carried_state_stuck(model: Model) -> Model | None:
    """A state comes out of a chunk as it went in."""
    states = _states(model)
    if not states:
        return None
    before, after = states[0]
    return behind(model, after.name, lambda _, wrong: [op("Identity", [before.name], [wrong])])


@kind
def carried_state_lost(model: Model) -> Model | None:
    """A state comes out of every chunk as zero."""
    states = _states(model)
    if not states:
        return None
    zero = constant(model, np.array(0, np.float32))
    return behind(model, states[0][1].name, lambda right, wrong: [op("Mul", [right, zero], [wrong])])


@kind
def carried_state_fades(model: Model) -> Model | None:
    """A state is a ten-thousandth smaller when it comes out."""
    states = _states(model)
    if not states:
        return None
    factor = constant(model, np.array(0.9999, np.float32))
    return behind(model, states[-1][1].name, lambda right, wrong: [op("Mul", [right, factor], [wrong])])


@kind
def carried_states_swapped(model: Model) -> Model | None:
    """Two states of one size come out under each other's names."""
    states = [after for _, after in _states(model)]
    for k, one in enumerate(states):
        for other in states[k + 1 :]:
            if dims(one) == dims(other):
                return swap_outputs(model, one.name, other.name)
    return None
