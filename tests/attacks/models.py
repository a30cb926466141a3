"""Models that take another path at some sizes, and models that do not; the sizes are drawn from a fixed seed."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_RANDOM = np.random.default_rng(20261129)


def drawn(low: int, high: int) -> int:
    """A size that no test names."""
    return int(_RANDOM.integers(low, high, endpoint=True))


HERE, THERE, FAR, MANY, STEPS = drawn(260, 600), drawn(40, 250), drawn(601, 900), drawn(700, 1500), drawn(260, 400)
EVERY, REMAINDER, UNITS = drawn(5, 9), drawn(1, 4), drawn(3, 6)
LIMITS = {"steps": [HERE, (FAR,)]}


class Layered(nn.Module):
    """A GRU over x [T, N, 3]; a subclass says what comes of its output y [T, N, UNITS] and of x."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, UNITS)

    def forward(self, x: Tensor) -> Any:
        return self.after(x, self.rnn(x)[0])

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        raise NotImplementedError


class Looped(nn.Module):
    """A Python loop over x [T, N, 3]; a subclass says what comes of its last state h [N, UNITS], or of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, UNITS)

    def forward(self, x: Tensor) -> Any:
        h = x.new_zeros(x.size(1), UNITS)
        for t in range(x.size(0)):
            h = self.step(x, t, self.cell(x[t], h))
        return self.after(x, h)

    def step(self, x: Tensor, t: int, h: Tensor) -> Tensor:
        return h

    def after(self, x: Tensor, h: Tensor) -> Tensor:
        return h


class EveryFew(Looped):
    def after(self, x: Tensor, h: Tensor) -> Tensor:
        return h * 2 if x.size(0) % EVERY == REMAINDER else h


class EveryFewLayered(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y * 2 if x.size(0) % EVERY == REMAINDER else y


class EveryFewElements(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y + 1 if x.numel() % 16 == 0 else y


class ManyElements(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        T, N, _ = x.shape
        return y + 1 if T * N >= MANY else y


class ManyBytes(Looped):
    def after(self, x: Tensor, h: Tensor) -> Tensor:
        return h + 1 if x.nbytes > 4 * 3 * MANY else h


class Cut(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y + x[:HERE].mean()


class CutFromTheEnd(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y[-HERE:].sum(0)


class AtOneStep(Looped):
    def step(self, x: Tensor, t: int, h: Tensor) -> Tensor:
        return h + 1 if t == STEPS else h


class AtOneSize(Looped):
    def after(self, x: Tensor, h: Tensor) -> Tensor:
        return h + 1 if x.size(0) == STEPS else h


class OneBatch(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y.flip(1) if x.shape[1] == THERE else y


class Capped(Looped):
    def after(self, x: Tensor, h: Tensor) -> Tensor:
        return h * min(x.size(0), STEPS)


class Quotient(Looped):
    def after(self, x: Tensor, h: Tensor) -> Tensor:
        return h + x.size(0) // STEPS


class InAList(Layered):
    def __init__(self) -> None:
        super().__init__()
        self.limits = LIMITS

    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y + 1 if any(x.size(0) > limit for limit in self.limits["steps"][1]) else y  # type: ignore[attr-defined]


class Default(Layered):
    def after(self, x: Tensor, y: Tensor, most: int = HERE) -> Tensor:
        return y + 1 if len(x) > most else y


class Closed(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        most = THERE

        def longer() -> bool:
            return x.size(0) > most

        return y + 1 if longer() else y


class LastFew(Looped):
    """Keeps its last states."""

    def forward(self, x: Tensor) -> Any:
        kept: deque[Tensor] = deque(maxlen=STEPS)
        h = x.new_zeros(x.size(1), UNITS)
        for t in range(x.size(0)):
            h = self.cell(x[t], h)
            kept.append(h)
        return torch.stack(list(kept)).sum(0)


class SumOfSizes(Layered):
    def after(self, x: Tensor, y: Tensor) -> Tensor:
        return y + 1 if x.size(0) + x.size(1) == HERE else y


WRONG: list[type[nn.Module]] = [
    EveryFew,
    EveryFewLayered,
    EveryFewElements,
    ManyElements,
    ManyBytes,
    AtOneStep,
    AtOneSize,
    OneBatch,
    Capped,
    Quotient,
    InAList,
    Default,
    Closed,
    LastFew,
    SumOfSizes,
]
