"""Write a model's metadata: what made the file, its signature, and the states that a stream carries. Works in place."""

from __future__ import annotations

import json

import onnx_ir as ir

from ..onnx_file import METADATA_PREFIX
from ..spec.signature import Signature
from ..spec.streams import StreamSpec, declared_states, states_json
from ..version import __version__


def describe(model: ir.Model, signature: Signature, stream: StreamSpec | None) -> None:
    """Write `producer_name`, `producer_version` and `metadata_props`, which any ONNX reader can show.

    States are written twice: as JSON, and as lists that need no JSON library (see docs/streaming.md).
    """
    states = declared_states(signature) if stream is None else stream.states
    properties = {
        "version": __version__,
        "inputs": json.dumps(signature.to_json()["inputs"]),
        "outputs": json.dumps(list(signature.outputs)),
        "states": json.dumps(states_json(states)),
        "state_inputs": ",".join(state.name for state in states),
        "state_outputs": ",".join(state.output for state in states),
        **{f"reset.{state.name}": state.reset_text for state in states},
        **({} if stream is None else {"time": stream.time}),
    }
    model.producer_name = "rnn-export"
    model.producer_version = __version__
    model.metadata_props.clear()
    model.metadata_props.update({f"{METADATA_PREFIX}.{key}": value for key, value in properties.items()})
