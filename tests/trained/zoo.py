"""Every trained model."""

from __future__ import annotations

from . import audio, genome, text

MODELS = (*text.MODELS, *audio.MODELS, *genome.MODELS)
