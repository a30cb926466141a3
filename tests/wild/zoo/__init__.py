"""The models, by what they are for; those of each page together."""

from __future__ import annotations

from . import audio, decoding, recurrences, series, text, vision

APPLICATIONS = (*audio.MODELS, *vision.MODELS, *text.MODELS, *series.MODELS)
RECURRENCES = (*recurrences.MODELS, *decoding.MODELS)
MODELS = (*APPLICATIONS, *RECURRENCES)
