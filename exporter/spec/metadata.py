"""What an ONNX file says of itself in its metadata: `metadata_props`, which any reader can show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from ..version import __version__
from .added_metadata import PREFIX
from .signature import Signature
from .streams import StreamSpec, declared_states, states_json

VERSION = f"{PREFIX}.version"

_NONE: Mapping[str, str] = MappingProxyType({})


def metadata_of(signature: Signature, stream: StreamSpec | None, added: Mapping[str, str] = _NONE) -> dict[str, str]:
    """The entries of a file with that signature, those of its states, and those that its user has added.

    States are written twice: as JSON, and as lists that need no JSON library (see docs/internals/streaming.md).
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
        **({} if stream is None or stream.time is None else {"time": stream.time}),
        **({} if stream is None or stream.multiple == 1 else {"multiple": str(stream.multiple)}),
        **({} if stream is None or not stream.grows else {"grows": stream.grows}),
        **({} if stream is None else {f"delay.{name}": str(each.delay) for name, each in stream.timings.items()}),
    }
    return {**{f"{PREFIX}.{key}": value for key, value in properties.items()}, **added}


def wrong_metadata(
    found: Mapping[str, str], signature: Signature, stream: StreamSpec | None, added: Mapping[str, str] = _NONE
) -> str:
    """The first entry that is not what the manifest says; empty if all are. Any version may write it."""
    expected = {**metadata_of(signature, stream, added), VERSION: found.get(VERSION, "")}
    for key in [*expected, *found]:
        if found.get(key) != expected.get(key):
            is_own = key in expected
            return f"its metadata has {_shown(key, found)}" + (f", not {_shown(key, expected)}" if is_own else "")
    return ""


def _shown(key: str, entries: Mapping[str, str]) -> str:
    return f"{key} = {entries[key][:200]}" if key in entries else f"no {key}"
