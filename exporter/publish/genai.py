"""Write the configuration that onnxruntime-genai generates text with, for a language model exported as a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bundle.complete import add_file
from ..bundle.files import read_bundle
from ..bundle.manifest import Manifest
from ..errors import InputError
from ..spec.artifact import Artifact
from ..spec.dims import parse, spell
from ..spec.state_names import GENAI
from ..spec.streams import State
from ..stream.session import streaming
from .copy_bundle import WrittenFiles

CONFIG = "genai_config.json"

_STATE = re.compile(r"past_key_values\.(\d+)\.(conv_state|recurrent_state)")


def write_genai(
    bundle: str | Path, *, eos: int, bos: int | None = None, pad: int | None = None, context_length: int = 2048
) -> WrittenFiles:
    """Add `genai_config.json` to a bundle exported with `stateful=True, state_names="onnxruntime-genai"`.

    Args:
        bundle: of a model that takes tokens int64[N, T] and returns logits float32[N, T, V].
        eos: the token that ends a text.
        bos: the token that begins one; that which ends it, if not given.
        pad: the token that fills shorter prompts of a batch; that which ends a text, if not given.
        context_length: how many tokens a text may have.

    Raises:
        BundleError: it is not a bundle, or has no file that can be fed in chunks.
        InputError: onnxruntime-genai cannot run the file, or a token is not in its vocabulary.
    """
    folder = Path(bundle)
    manifest = read_bundle(folder)
    name, artifact = streaming(folder, manifest)
    tokens, logits, vocabulary = _ends(manifest, artifact)
    chosen = {"eos": eos, "bos": eos if bos is None else bos, "pad": eos if pad is None else pad}
    for what, token in chosen.items():
        if not 0 <= token < vocabulary:
            raise InputError(f"The {what} token is {token}, and the model has {vocabulary}. Give a number below that.")
    config = {
        "model": {
            **{f"{what}_token_id": token for what, token in chosen.items()},
            "context_length": context_length,
            "vocab_size": vocabulary,
            "type": "decoder",
            "decoder": _decoder(name, tokens, logits, _layers(artifact)),
        },
        "search": {"max_length": context_length, "num_beams": 1, "do_sample": False},
    }
    content = (json.dumps(config, indent=2) + "\n").encode()
    add_file(folder, CONFIG, content)
    return WrittenFiles(folder, {CONFIG: len(content)})


def _decoder(file: str, tokens: str, logits: str, layers: int) -> Mapping[str, Any]:
    return {
        "filename": file,
        # What attention would need; names of states are derived from those of keys.
        "head_size": 1,
        "hidden_size": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "num_hidden_layers": layers,
        "session_options": {"provider_options": []},
        "inputs": {"input_ids": tokens, "past_key_names": "past_key_values.%d.key"},
        "outputs": {"logits": logits, "present_key_names": "present.%d.key"},
    }


def _ends(manifest: Manifest, artifact: Artifact) -> tuple[str, str, int]:
    """The names of tokens and logits, and the number of tokens.

    Raises:
        InputError: the model has something else beside its states.
    """
    assert artifact.stream is not None
    states = artifact.stream.states
    inputs = {k: spec for k, spec in manifest.inputs.items() if k not in {state.name for state in states}}
    outputs = {k: parse(text) for k, text in manifest.outputs.items() if k not in {state.output for state in states}}
    (tokens, spec), *more_inputs = inputs.items()
    (logits, (_, dims)), *more_outputs = outputs.items()
    if more_inputs or not spec.dtype.startswith("int") or len(spec.shape) != 2:
        described = ", ".join(f"{name}: {each}" for name, each in inputs.items())
        raise InputError(f"onnxruntime-genai feeds a model with tokens int64[N, T], and this one takes {described}.")
    if more_outputs or len(dims) != 3 or not isinstance(dims[-1], int):
        described = ", ".join(f"{name}: {manifest.outputs[name]}" for name in outputs)
        raise InputError(f"onnxruntime-genai reads logits float32[N, T, V], and the model returns {described}.")
    return tokens, logits, dims[-1]


def _layers(artifact: Artifact) -> int:
    """The number of layers whose states onnxruntime-genai carries.

    Raises:
        InputError: it would not carry a state, or not begin with its reset value.
    """
    assert artifact.stream is not None
    alike: dict[str, State] = {}
    layers = set()
    for state in artifact.stream.states:
        found = _STATE.fullmatch(state.name)
        if found is None:
            raise InputError(
                f"onnxruntime-genai knows no state '{state.name}'. Export the model with `state_names=\"{GENAI}\"`."
            )
        _check_state(state)
        layer, kind = found.groups()
        layers.add(layer)
        first = alike.setdefault(kind, state)
        if (first.dtype, first.shape) != (state.dtype, state.shape):
            raise InputError(
                f"onnxruntime-genai has one shape for the {kind} of all layers, and '{state.name}' is "
                f"{spell(state.dtype, state.shape)}, '{first.name}' {spell(first.dtype, first.shape)}. "
                "Feed the file with a program of your own."
            )
    return len(layers)


def _check_state(state: State) -> None:
    if state.reset != 0:
        raise InputError(f"onnxruntime-genai begins with zeros, and '{state.name}' with other numbers.")
    if any(isinstance(dim, str) for dim in state.shape[1:]):
        raise InputError(
            f"onnxruntime-genai takes a dynamic size of a state first, and '{state.name}' is {list(state.shape)}. "
            "Export the model for one text at a time, with 1 in place of the batch: 'tokens: int64[1, T] in 0..V'."
        )
