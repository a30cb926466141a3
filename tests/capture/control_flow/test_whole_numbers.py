"""A tensor of one whole number that was written to is another number from then on, whichever operator wrote."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch
from rnn_export.capture.control_flow.whole_numbers import WholeNumbers
from torch import Tensor


@pytest.mark.parametrize(
    ("write", "number"), [(operator.iadd, 5), (operator.imul, 6), (operator.ifloordiv, 1), (Tensor.mul_, 6)]
)
def test_a_write_is_not_missed(write: Callable[[Tensor, int], Tensor], number: int) -> None:
    offset = torch.tensor(3)
    with WholeNumbers():
        before = offset + 1
        write(offset, 2)
        assert offset.item() == number
        assert before.item() == 4
