"""The built-in RNN variants and their registry; torch is imported only when one is built."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

__all__ = ["VARIANTS", "Variant"]


@dataclass(frozen=True)
class Variant:
    """A built-in model: where its class is and what it is."""

    name: str
    summary: str
    class_name: str

    @property
    def factory(self) -> type[nn.Module]:
        """The model's class; calling it builds the model with its default sizes."""
        module = importlib.import_module(f".{self.name}", __name__)
        factory: type[nn.Module] = getattr(module, self.class_name)
        return factory


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        variant.name: variant
        for variant in (
            Variant("scratch", "from scratch: one-hot tokens, explicit weights, a loop over time", "ScratchRNN"),
            Variant("single", "one recurrent layer, all outputs and the final state", "SingleRNN"),
            Variant("deep", "four stacked layers, all outputs and the final states", "DeepRNN"),
            Variant("classifier", "four layers, one prediction from the last time step", "Classifier"),
            Variant("tagger", "four layers, a prediction at every time step", "Tagger"),
            Variant("initial_state", "the tagger with its initial state given explicitly", "InitialStateTagger"),
            Variant("hetero", "four layers of different widths, explicit zero states", "HeteroRNN"),
            Variant("layernorm_lstm", "a layer-normalised LSTM: a cell of one's own in a loop", "LayerNormLSTM"),
            Variant("mgu", "a minimal gated unit in a loop, its initial state given", "MGU"),
        )
    }
)
