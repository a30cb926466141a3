"""Run a bundle's model file once, on whole inputs; states that are not given begin as they are reset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError, did_you_mean
from ..pytorch.samples import sizes_of
from ..runtimes.open import open_session
from ..spec.signature import Signature
from .files import read_bundle

Array = NDArray[np.generic]


def run_artifact(folder: Path, name: str, given: Mapping[str, Any]) -> dict[str, Array]:
    """All outputs of one model file by name.

    Args:
        folder: the bundle.
        name: the model file in it.
        given: arrays or tensors by the inputs' names.

    Raises:
        BundleError: the bundle is not there any more, or was changed.
        InputError: an input is missing, unknown, or has another shape or dtype.
    """
    manifest = read_bundle(folder)
    artifact = manifest.artifacts[name]
    inputs = {each: _array(value) for each, value in given.items()}
    states = {state.name: state for state in artifact.stream.states} if artifact.stream is not None else {}
    known = [*manifest.inputs, *(each for each in states if each not in manifest.inputs)]
    for each in inputs:
        if each not in known:
            raise InputError(f"There is no input '{each}'.{did_you_mean(each, known)} {name} takes {', '.join(known)}.")
    for each in manifest.inputs:
        if each not in inputs and each not in states:
            raise InputError(
                f"The input '{each}' is missing: {manifest.inputs[each]}. {name} takes {', '.join(known)}."
            )
    fed = Signature({each: spec for each, spec in manifest.inputs.items() if each in inputs})
    sizes = sizes_of(fed, inputs, "Input")
    resets = {each: state.initial(sizes) for each, state in states.items()}
    whole = {**resets, **inputs}
    session = open_session(artifact.runtime, folder / name, tuple(manifest.outputs))
    return session.run({each: whole[each] for each in known})


def _array(value: Any) -> Array:
    return np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
