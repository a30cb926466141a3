"""Numbers of `random.random()` that decide nothing: teacher forcing with a ratio of 0 or 1 always goes one way."""

from __future__ import annotations

import random
from collections.abc import Callable

_draw = random.random


class Coin(float):
    """A number between 0 and 1. Compared with one that is not, it gives the same answer whatever it is.

    That `random.random()` is 0 itself once in 2**53 times is passed over.

    `told` is whether it has been used in that way, and `asked` whether an answer depended on it.
    """

    told = False
    asked = False

    def __lt__(self, other: float) -> bool:
        return self._told(other, float(self) < other)

    def __le__(self, other: float) -> bool:
        return self._told(other, float(self) <= other)

    def __gt__(self, other: float) -> bool:
        return self._told(other, float(self) > other)

    def __ge__(self, other: float) -> bool:
        return self._told(other, float(self) >= other)

    def _told(self, other: float, answer: bool) -> bool:
        self.told = True
        self.asked = self.asked or 0 < other < 1
        return answer


def tossing(tossed: list[tuple[Coin, str]], line: Callable[[], str]) -> Callable[[], float]:
    """A function for `random.random`, whose state it leaves alone: it notes each number, and the line that drew it."""
    own = random.Random(_draw())

    def toss() -> float:
        coin = Coin(own.random())
        tossed.append((coin, line()))
        return coin

    return toss


def matters(coin: Coin) -> bool:
    """Whether a model's answer may depend on a number."""
    return coin.asked or not coin.told
