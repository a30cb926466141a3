"""Sound made here: a voice of gliding pitch with syllables and pauses, and chords."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]

_FORMANTS = ((700, 130), (1_220, 150), (2_600, 200))


def voice(seconds: float, rate: int, seed: int = 0) -> Sound:
    """Harmonics of a gliding pitch below three formants, four syllables a second, and a pause every fourth."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 130 + 30 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = np.zeros_like(time)
    for harmonic in range(1, 25):
        at = harmonic * pitch
        strength = sum(np.exp(-(((at - centre) / width) ** 2)) for centre, width in _FORMANTS) + 0.02
        sound += strength * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 4 * time) + 0.6, 0, None)
    speaks = (time % 4) < 3
    sound = sound * syllables * speaks + 0.003 * rng.standard_normal(len(time))
    return (0.4 * sound / np.abs(sound).max()).astype(np.float32)


def chords(rate: int, seconds: float = 1.0) -> Sound:
    """C, A minor, F and G, each so long, with the overtones of a plucked string."""
    time = np.arange(int(seconds * rate)) / rate
    played = [_chord(notes, time) for notes in ((48, 60, 64, 67), (45, 57, 60, 64), (41, 57, 60, 65), (43, 59, 62, 67))]
    return np.concatenate(played).astype(np.float32)


def _chord(notes: tuple[int, ...], time: NDArray[np.float64]) -> NDArray[np.float64]:
    sound = np.zeros_like(time)
    for note in notes:
        pitch = 440 * 2 ** ((note - 69) / 12)
        for harmonic in range(1, 6):
            sound += np.sin(2 * np.pi * harmonic * pitch * time) * np.exp(-harmonic * time) / harmonic
    return 0.1 * sound
