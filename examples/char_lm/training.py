"""Training: truncated backpropagation through time, with gradients clipped and states carried from batch to batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from rnn_export import Signature
from torch import Tensor, nn
from torch.nn import functional as F

from .text import Batches

Progress = Callable[[int, int], None]


def train_epoch(
    model: nn.Module,
    signature: Signature,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    *,
    clip: float,
    progress: Progress,
) -> float:
    """One pass over the text.

    Args:
        model: from tokens int64[N, T] and its states to logits [T*N, V] and the states after them.
        clip: the most that the norm of all gradients may be.
        progress: called with how many batches are done, out of how many.

    Returns:
        The perplexity, exp of the mean cross-entropy per character, of the model as it was at each batch.
    """
    states = begin(signature, batches.N)
    total = 0.0
    for done, (tokens, targets) in enumerate(batches, 1):
        logits, *states = model(tokens, *(state.detach() for state in states))
        loss = F.cross_entropy(logits, targets.T.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        total += loss.item()
        progress(done, len(batches))
    return math.exp(total / len(batches))


def begin(signature: Signature, N: int) -> Sequence[Tensor]:
    """The states of N sequences before the first token: zeros."""
    shapes = [signature.inputs[name].shape for name in signature.states]
    return [torch.zeros([N if isinstance(dim, str) else dim for dim in shape]) for shape in shapes]
