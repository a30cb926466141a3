"""Writing text, a character at a time, with any model that takes tokens and carries its states."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from rnn_export import InputError, Signature, Stream
from torch import nn

from .text import Vocabulary
from .training import begin

Logits = NDArray[np.float32]
Feed = Callable[[NDArray[np.int64]], Logits]
"""From the next tokens int64[T] to the logits float32[V] after the last of them; states go on from call to call."""


def write(
    feed: Feed, vocabulary: Vocabulary, prompt: str, *, temperature: float, random: np.random.Generator
) -> Iterator[str]:
    """The characters after a prompt, without end.

    Args:
        temperature: what logits are divided by before one is drawn; at 0 the likeliest character is taken.

    Raises:
        InputError: the prompt is empty, or has a character that the model does not know.
    """
    if not prompt:
        raise InputError("The prompt is empty. Give at least one character.")
    tokens = vocabulary.encode(prompt).numpy()
    while True:
        token = choose(feed(tokens), temperature, random)
        yield vocabulary.characters[token]
        tokens = np.array([token])


def choose(logits: Logits, temperature: float, random: np.random.Generator) -> int:
    """The likeliest token at temperature 0, else one drawn from softmax(logits / temperature)."""
    if temperature == 0:
        return int(logits.argmax())
    scaled = (logits.astype(np.float64) - logits.max()) / temperature
    shares = np.exp(scaled) / np.exp(scaled).sum()
    return int(random.choice(len(shares), p=shares))


def eager(model: nn.Module, signature: Signature) -> Feed:
    """The model in PyTorch."""
    states = begin(signature, 1)

    def feed(tokens: NDArray[np.int64]) -> Logits:
        nonlocal states
        with torch.no_grad():
            logits, *states = model(torch.from_numpy(tokens)[None], *states)
        last: Logits = logits[-1].numpy()
        return last

    return feed


def streamed(stream: Stream) -> Feed:
    """A bundle that was exported with its states, fed single steps alone, which are faster."""

    def feed(tokens: NDArray[np.int64]) -> Logits:
        for token in tokens:
            outputs = stream.step(np.array([token]))
        logits = outputs if isinstance(outputs, np.ndarray) else outputs["logits"]
        last: Logits = logits[-1]
        return last

    return feed
