"""Faults in the operators of linear attention and causal convolutions: what they forget, add, read, and begin with."""

from __future__ import annotations

import onnx

from .graphs import nodes, op, set_attribute
from .kinds import kind

Model = onnx.ModelProto

# Inputs of LinearAttention.
_PAST, _DECAY = 3, 4


def _attention(model: Model) -> onnx.NodeProto | None:
    return next(iter(nodes(model, "LinearAttention")), None)


@kind
def decay_dropped(model: Model) -> Model | None:
    """Linear attention forgets nothing."""
    node = _attention(model)
    if node is None:
        return None
    node.input[_DECAY] = ""
    set_attribute(node, "update_rule", "delta")
    return model


@kind
def delta_dropped(model: Model) -> Model | None:
    """Linear attention adds what it is given, and not what is new in it."""
    node = _attention(model)
    if node is None:
        return None
    del node.input[_DECAY + 1 :]
    set_attribute(node, "update_rule", "gated")
    return model


@kind
def query_scaled(model: Model) -> Model | None:
    """Linear attention reads with the operator's own scale, one over the root of the key's size."""
    node = _attention(model)
    if node is None:
        return None
    set_attribute(node, "scale", 0.0)
    return model


@kind
def state_transposed(model: Model) -> Model | None:
    """Linear attention begins with keys and values of its state exchanged."""
    node = _attention(model)
    if node is None:
        return None
    turned = op("Transpose", [node.input[_PAST]], ["planted.turned"], perm=[0, 1, 3, 2])
    model.graph.node.insert(list(model.graph.node).index(node), turned)
    node.input[_PAST] = "planted.turned"
    return model


@kind
def convolution_begins_anew(model: Model) -> Model | None:
    """A causal convolution takes zeros for what came before a chunk."""
    node = next(iter(nodes(model, "CausalConvWithState")), None)
    if node is None:
        return None
    del node.input[_PAST:]
    return model


@kind
def convolution_keeps_its_state(model: Model) -> Model | None:
    """A causal convolution gives back the state that it was given."""
    node = next(iter(nodes(model, "CausalConvWithState")), None)
    if node is None:
        return None
    kept = op("Identity", [node.input[_PAST]], [node.output[1]])
    node.output[1] = "planted.dropped"
    model.graph.node.append(kept)
    return model
