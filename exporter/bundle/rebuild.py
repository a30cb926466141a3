"""The PyTorch model of a bundle, built again from what the manifest says, with the weights that lie in the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..errors import LoadError
from ..pytorch.archive import is_archive
from ..pytorch.checkpoint import load_weights
from ..pytorch.evaluation import as_python
from ..pytorch.half import in_float16
from ..pytorch.load import load_with, may_be_named
from ..pytorch.made_cases import MadeCases
from ..pytorch.memory.requested import with_memory
from ..pytorch.memory.state_names import places_called
from ..pytorch.memory.streamed import streamed
from ..pytorch.request import ExportRequest
from ..spec.artifact import Source
from ..spec.signature import Signature
from ..torch_internals.allocation import Bounded, TooLargeError
from .cases import read_cases
from .manifest import CASES, MANIFEST, WEIGHTS, Manifest

# A model may make so much while it is built: what its initialisation needs beside the weights, and this.
_TIMES = 32
_MARGIN = 2**28

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Rebuilt:
    """A model with its stored weights, and the example that cases are cut from, or what makes them, if they are."""

    model: nn.Module
    example: Mapping[str, Array] | None
    made: MadeCases | None = None


def why_not_rebuilt(folder: Path, manifest: Manifest, model: str | None, made: MadeCases | None = None) -> str:
    """Why fresh cases cannot be made; empty where they can.

    Args:
        model: the code that the caller trusts, as `file.py:Factory` or `package.module:Factory`.
        made: what makes the inputs of cases, which is code of the caller's too.
    """
    source = manifest.source
    if WEIGHTS not in manifest.files:
        given = "the model was given as an object, and the bundle does not say how to build it"
        return given if source is None else "the bundle does not hold the model's weights"
    if manifest.from_example and made is None and CASES not in manifest.files:
        return "the bundle does not hold the example that cases are cut from"
    if source is None:
        return "" if model is not None else "the bundle does not say how to build the model; `model=FILE:FACTORY` does"
    return _untrusted(source, model, made)


def _untrusted(source: Source, model: str | None, made: MadeCases | None) -> str:
    """Whose code would run, that the caller has not given; empty where there is none."""
    # What the manifest calls the model's kind is its own word, and cannot be trusted.
    if model is None and is_archive(source.model):
        return f'the model is TorchScript in {source.model}, beside the bundle; `model="{source.model}"` reads it'
    if model is None and not may_be_named(source.model):
        return f'building {source.model} would run its code; `model="{source.model}"` allows it'
    if source.cases and made is None:
        return f'making the cases would run the code of {source.cases}; `cases="{source.cases}"` allows it'
    return ""


def rebuild(folder: Path, manifest: Manifest, model: str | None, made: MadeCases | None = None) -> Rebuilt:
    """Build the model, and load its weights.

    Args:
        model, made: as for `why_not_rebuilt`.

    Raises:
        LoadError: the model cannot be built again.
    """
    source = manifest.source or Source("file", model or "", {}, 0)
    signature = _of_one_call(manifest)
    stored = (folder / WEIGHTS).stat().st_size
    try:
        with Bounded(_MARGIN + _TIMES * stored):
            loaded = load_with(
                model or source.model,
                source.arguments,
                inputs=signature.inputs,
                outputs=signature.outputs,
                seed=source.seed,
            )
    except LoadError as error:
        if isinstance(error.__cause__, TooLargeError):
            raise LoadError(
                f"The model that {folder / MANIFEST} describes is far larger than the weights beside it. "
                "Export the model again."
            ) from error
        raise
    # A TorchScript file is made from TorchScript as it is.
    captured = any(artifact.lowering is not None for artifact in manifest.artifacts.values())
    given = as_python(loaded.model) if captured else loaded.model
    built = in_float16(given) if source.precision == "float16" else given
    load_weights(built, folder / WEIGHTS)
    if signature != manifest.signature:
        return _with_states(manifest, ExportRequest(built, signature, None, source, made))
    if made is not None:
        return Rebuilt(built, None, replace(made, half=source.precision == "float16"))
    example = read_cases(folder / CASES, manifest)[0].inputs if manifest.from_example else None
    return Rebuilt(built, example)


def _of_one_call(manifest: Manifest) -> Signature:
    """What goes in and out of the model itself: without the states that it keeps from call to call."""
    streams = [artifact.stream for artifact in manifest.artifacts.values() if artifact.stream is not None]
    kept = {name: manifest.states.get(name, "") for stream in streams for name in stream.kept}
    given = manifest.signature
    return Signature(
        {name: spec for name, spec in given.inputs.items() if name not in kept},
        [name for name in given.outputs if name not in kept.values()],
        {name: output for name, output in given.states.items() if name not in kept},
    )


def _with_states(manifest: Manifest, request: ExportRequest) -> Rebuilt:
    """The model with its states as inputs, found once more."""
    is_captured = any(artifact.lowering is not None for artifact in manifest.artifacts.values())
    seed = request.source.seed if request.source else 0
    known = places_called(request.model, manifest.states)
    explicit = with_memory(request, seed, known) if is_captured else streamed(request, seed)
    if list(explicit.signature.inputs) != list(manifest.inputs):
        raise LoadError(
            f"The model keeps {', '.join(explicit.signature.states) or 'nothing'} from call to call, and the "
            "bundle says that it keeps other states. Export the model again."
        )
    return Rebuilt(explicit.model, None, explicit.made)
