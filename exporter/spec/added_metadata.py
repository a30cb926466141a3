"""What a user adds to the metadata of a file: texts by name."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InputError

# What the keys of this package begin with: rnn_export.version, .inputs, .outputs, .states.
PREFIX = "rnn_export"
_EXAMPLE = 'such as {"num_encoder_layers": "4"}'


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
