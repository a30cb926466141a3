"""silero-vad's TorchScript as a stream in ONNX says of a minute of sound what it says itself, and its own ONNX."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from .command import rnn_export
from .sound import voice

_RATE = 16_000
_CHUNK = 512

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("silero") / "bundle"
    given = ["trained.silero_network:Vad", "--input", "x: float32[N, 512]", "--stateful", "--out", str(folder)]
    rnn_export("onnx", *given)
    return folder


def _chunks() -> Floats:
    sound = voice(60, _RATE)
    return sound[: len(sound) // _CHUNK * _CHUNK].reshape(-1, 1, _CHUNK)


def _in_stream(bundle: Path) -> Floats:
    """What a program without rnn_export does: reset the states, call, and feed them back."""
    session = onnxruntime.InferenceSession(bundle / "model.onnx")
    states = json.loads(session.get_modelmeta().custom_metadata_map["rnn_export.states"])
    names = [output.name for output in session.get_outputs()]
    before = {
        name: np.full([1 if isinstance(size, str) else size for size in state["shape"]], state["reset"], state["dtype"])
        for name, state in states.items()
    }
    said = []
    for chunk in _chunks():
        found = dict(zip(names, session.run(names, {"x": chunk, **before}), strict=True))
        before = {name: found[state["output"]] for name, state in states.items()}
        said.append(next(found[name] for name in names if name not in {state["output"] for state in states.values()}))
    return np.concatenate(said)[:, 0]


def _own(*, onnx: bool) -> Floats:
    from silero_vad import load_silero_vad

    vad: Callable[..., torch.Tensor] = load_silero_vad(onnx=onnx)
    with torch.no_grad():
        return np.array([float(vad(torch.from_numpy(chunk), _RATE)) for chunk in _chunks()], np.float32)


@pytest.mark.parametrize("onnx", [False, True], ids=["TorchScript", "its own ONNX"])
def test_a_minute_of_sound_is_heard_the_same(bundle: Path, onnx: bool) -> None:
    own, ours = _own(onnx=onnx), _in_stream(bundle)
    assert (own > 0.5).any()
    assert (own < 0.1).any()
    np.testing.assert_array_equal(ours > 0.5, own > 0.5)
    np.testing.assert_allclose(ours, own, atol=1e-4)
