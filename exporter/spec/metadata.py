"""What an ONNX file says of itself in its metadata: `metadata_props`, which any reader can show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from ..errors import InputError
from ..version import __version__
from .signature import Signature
from .streams import StreamSpec, declared_states, states_json

# What the keys begin with: rnn_export.version, .inputs, .outputs, .states.
PREFIX = "rnn_export"

VERSION = f"{PREFIX}.version"

_EXAMPLE = 'such as {"num_encoder_layers": "4"}'


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


def check_added(added: Mapping[str, str]) -> None:
    """Check what a user adds to the metadata of a file.

    Raises:
        InputError: it is no mapping of texts to texts, a key is empty or one of this package's own, or a text has
            control characters, which would steer the terminal that shows it.
    """
    if not isinstance(added, Mapping):
        raise InputError(f"`metadata` is of type {type(added).__name__}. Give texts by name, {_EXAMPLE}.")
    for key, value in added.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InputError(f"The metadata {key!r:.60} is {value!r:.60}. Give a text for a text, {_EXAMPLE}.")
        if not key or key != key.strip():
            raise InputError(f"{key!r} is no key of metadata. Give one without spaces around it, {_EXAMPLE}.")
        if key == PREFIX or key.startswith(f"{PREFIX}."):
            raise InputError(f"The metadata '{key}' is written by {PREFIX} itself. Give it another name.")
        if any(not (mark.isprintable() or mark in "\n\t") for mark in key + value):
            raise InputError(f"The metadata {key!r:.60} has control characters. Leave them out.")


def _shown(key: str, entries: Mapping[str, str]) -> str:
    return f"{key} = {entries[key][:200]}" if key in entries else f"no {key}"
