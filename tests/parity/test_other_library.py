"""What is finite is not compared where it is up to a library's algorithm, and is everywhere else."""

from __future__ import annotations

import numpy as np
import torch
from rnn_export import Signature
from rnn_export.parity.reference import Oracle
from torch import Tensor, nn

SIGNATURE = Signature({"x": "float32[T, 4]"}, outputs=["transformed", "plain"])


class Transformed(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.view_as_real(torch.fft.rfft(x)), x.exp() - x


def unsettled(x: np.ndarray) -> dict[str, np.ndarray]:
    return dict(Oracle(Transformed(), SIGNATURE).compute({"x": x}).unsettled)


def test_all_that_a_transform_makes_of_an_infinity_and_nothing_else() -> None:
    x = np.ones((3, 4), np.float32)
    x[1, 2] = np.inf
    found = unsettled(x)
    assert set(found) == {"transformed"}
    assert found["transformed"][1].all()
    assert not found["transformed"][[0, 2]].any()


def test_nothing_where_all_inputs_are_finite() -> None:
    assert not unsettled(np.full((3, 4), 3e38, np.float32))
