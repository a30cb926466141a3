"""What is computed with tensors in place of Python numbers is what Python computes: values and dtypes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from rnn_export.pytorch.memory.numbers import DTYPES, Numbers

OPERATORS = [
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow),
    *(operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne),
    *(operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow),
]
VALUES = [7, 3, 2.5, 0.1, True]


def as_number(value: Any) -> torch.Tensor:
    return torch.tensor(value, dtype=DTYPES[type(value)])


def computed(function: Callable[..., Any], *values: Any) -> Any:
    """What comes of tensors in place of the values that are numbers."""
    held = [as_number(value) if type(value) in DTYPES else value for value in values]
    with Numbers([each for each, value in zip(held, values, strict=True) if each is not value]):
        return function(*held)


@pytest.mark.parametrize("function", OPERATORS)
def test_two_numbers(function: Callable[[Any, Any], Any]) -> None:
    for left in VALUES:
        for right in VALUES:
            expected = function(left, right)
            both = computed(function, left, right)
            one = computed(lambda number, function=function, right=right: function(number, right), left)
            other = computed(lambda number, function=function, left=left: function(left, number), right)
            for got in (both, one, other):
                assert got.item() == expected
                assert got.dtype == DTYPES[type(expected)], (left, right)


def test_a_negative_power_of_a_whole_number_is_a_fraction() -> None:
    assert computed(lambda n: n**-2, 4).item() == 4**-2


@pytest.mark.parametrize("function", [operator.and_, operator.or_, operator.xor])
def test_truth_values(function: Callable[[Any, Any], Any]) -> None:
    got = computed(function, True, False)
    assert (got.item(), got.dtype) == (function(True, False), torch.bool)


def test_a_number_is_never_written_to() -> None:
    number = torch.tensor(3)
    with Numbers([number]):
        raised = number
        raised += 1
    assert (number.item(), raised.item()) == (3, 4)


TENSORS = [torch.tensor(0.3), torch.rand(3), torch.arange(3), torch.tensor(2, dtype=torch.int32), torch.rand(2).half()]


@pytest.mark.parametrize("x", TENSORS, ids=lambda x: f"{x.dtype}{list(x.shape)}")
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "function",
    [
        operator.mul,
        lambda x, n: n - x,
        operator.truediv,
        operator.gt,
        lambda x, n: torch.where(x > 0, n, 1.0),
        lambda x, n: torch.where(x > 0, n, x),
        lambda x, n: torch.full((2,), n),
        lambda x, n: torch.tensor(n) + x,
        lambda x, n: torch.tensor([n, 2]),
        lambda x, n: torch.tensor(n, dtype=torch.float64),
    ],
)
def test_beside_a_tensor_it_takes_no_part_in_the_dtype(function: Any, value: Any, x: torch.Tensor) -> None:
    try:
        expected = function(x, value)
    except RuntimeError:  # PyTorch takes no truth value off a tensor
        return
    got = computed(function, x, value)
    assert got.dtype == expected.dtype
    assert torch.allclose(got.double(), expected.double(), rtol=1e-3 if x.dtype == torch.float16 else 1e-6)
