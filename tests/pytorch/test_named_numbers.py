"""The whole numbers that a model's code names are found wherever they stand."""

from __future__ import annotations

from collections import deque
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from rnn_export.pytorch.named_numbers import numbers_of
from rnn_export.pytorch.paths import other_path
from torch import Tensor, nn

RANDOM = np.random.default_rng(7)
N = [int(number) for number in RANDOM.permutation(np.arange(1000, 9000))[:24]]
GLOBAL = N[0]


class Settings:
    LONGEST = N[1]

    def __init__(self) -> None:
        self.limits = {"steps": [N[2], (N[3],)]}


SETTINGS = SimpleNamespace(most=N[4])


class Model(nn.Module):
    MOST = N[5]

    def __init__(self) -> None:
        super().__init__()
        self.kept: deque[Tensor] = deque(maxlen=N[6])
        self.settings = Settings()
        self.positions = nn.Embedding(N[7], 2)
        self.register_buffer("table", torch.zeros(N[8], 1))
        self.register_buffer("limit", torch.tensor(N[9]))
        self.scale = partial(scaled, most=N[10])
        self.many = [0] * N[11]

    def forward(self, x: Tensor, most: int = 10) -> Tensor:
        text, computed = "1234", int("".join(["7", "6", "5", "4"]))

        def inner() -> bool:
            return x.size(0) > computed

        if x.size(0) > GLOBAL or x.size(0) > Settings.LONGEST or x.size(0) > SETTINGS.most or x.size(0) > self.MOST:
            return x
        return self.scale(x) if inner() or text else x + 0


def scaled(x: Tensor, most: int) -> Tensor:
    return x * 2 if x.size(0) > most else x


def test_numbers_are_found_wherever_they_stand() -> None:
    found = numbers_of(Model().eval(), {"x": torch.ones(7, 2)})
    assert not {*N[:12], 10, 1234, 7654}.difference(found)
    assert found == sorted(set(found))
    assert min(found) > 1


def test_another_profile_function_is_put_back() -> None:
    import sys

    def profile(*_: Any) -> None: ...

    sys.setprofile(profile)
    try:
        numbers_of(nn.Identity(), {"input": torch.ones(2)})
        assert sys.getprofile() is profile
    finally:
        sys.setprofile(None)


def test_the_line_of_another_path_is_found() -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if x.size(0) > 100 else x + 1

    line = Branching.forward.__code__.co_firstlineno + 1
    model, short = Branching(), {"x": torch.ones(7)}
    assert other_path(model, short, {"x": torch.ones(101)}).endswith(f"test_named_numbers.py:{line}")
    assert other_path(model, short, {"x": torch.ones(99)}) == ""
