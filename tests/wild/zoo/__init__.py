"""The models, by what they are for."""

from __future__ import annotations

from . import audio, series, text, vision

MODELS = (*audio.MODELS, *vision.MODELS, *text.MODELS, *series.MODELS)
