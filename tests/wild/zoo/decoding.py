"""Recurrences of today one token at a time: a wrapper as users write it, which keeps the model's own cache."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from ..model import Model, Pinned
from . import recurrences


class Decoding(nn.Module):
    """Gives a model what it returned as its cache in the call before; None in the first."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.cache: Any = None

    def forward(self, x: Tensor) -> Tensor:
        returned = self.model(x, **{self.name: self.cache}, use_cache=True)
        self.cache = getattr(returned, self.name)
        logits: Tensor = returned.logits
        return logits


class Holding(nn.Module):
    """Has made the cache beforehand, for a model that does not return it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.cache = importlib.import_module("transformers").DynamicCache(config=model.config)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x, cache=self.cache, use_cache=True).logits
        return logits


def _decoding(name: str, cache: str) -> Callable[[], nn.Module]:
    return lambda: Decoding(_language_model(name), cache)


def _language_model(name: str) -> nn.Module:
    """The model of that name whose forward over T is tried too."""
    over_time = next(model for model in recurrences.MODELS if (model.package, model.name) == ("transformers", name))
    pinned = over_time.build()
    assert isinstance(pinned, Pinned)
    return pinned.model


def _model(name: str, hard: str, build: Callable[[], nn.Module], gap: str = "", token: str = "int64[N, 1]") -> Model:
    return Model("transformers", name, hard, build, {"x": f"{token} in 0..15"}, gap=gap, stateful=True)


_TWO_WAYS = "convolution and state of fixed size; the first token takes another way"

MODELS = (
    _model("Mamba", "convolution and state of fixed size", _decoding("Mamba", "cache")),
    _model("FalconMamba", "convolution and state of fixed size", _decoding("FalconMamba", "cache")),
    _model("Mamba2", _TWO_WAYS, _decoding("Mamba2", "cache")),
    _model("Lfm2", "convolutions; keys and values that grow", _decoding("Lfm2", "past_key_values")),
    _model(
        "Qwen3Next", "state of the delta rule; keys and values that grow", _decoding("Qwen3Next", "past_key_values")
    ),
    _model("Bamba", _TWO_WAYS + "; keys and values that grow", _decoding("Bamba", "past_key_values")),
    _model("Zamba2", _TWO_WAYS + "; keys and values that grow", _decoding("Zamba2", "past_key_values")),
    _model(
        "RecurrentGemma",
        "states in the layers themselves; keys and values in a window that fills and then slides",
        lambda: Holding(_language_model("RecurrentGemma")),
        gap="the length of its mask is decided with a counter of tokens, a Python number",
    ),
    _model("Rwkv", "five tensors in a list, one begins at -1e30", _decoding("Rwkv", "state"), token="int64[1, 1]"),
)
