"""Limits by element, from what PyTorch computes: fillers, channels, magnitudes, and what is no reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from rnn_export import Signature
from rnn_export.parity.cases import make_cases
from rnn_export.parity.evidence import disagrees
from rnn_export.parity.expected import Expected, expect, measure_standards, what_is_shown
from rnn_export.pytorch.samples import traced_sizes
from torch import Tensor, nn

X = Signature({"x": "float32[T, N, 4]"}, ["y"])
XL = Signature({"x": "float32[T, N, 4]", "lengths": "int64[N] in 1..T"}, ["y"])
EPS = float(np.finfo(np.float32).eps)


class Model(nn.Module):
    """A GRU and a linear layer, and what `then` makes of their output [T, N, 3]."""

    def __init__(self, then: Callable[..., Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gru, self.linear, self.then = nn.GRU(4, 8), nn.Linear(8, 3), then

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        return self.then(self.linear(self.gru(x)[0]), x, *more)


def beyond(x: Tensor, lengths: Tensor) -> Tensor:
    return (torch.arange(x.size(0))[:, None] >= lengths)[..., None]


def run(model: nn.Module, signature: Signature = X) -> list[Expected]:
    return expect(model.eval(), signature, make_cases(signature, traced_sizes(signature), 0))


def why(expected: list[Expected]) -> str:
    """Why they show nothing."""
    doubt = what_is_shown(expected).doubt
    return "" if doubt is None else doubt.why


def largest_case(expected: list[Expected]) -> Expected:
    return max(expected, key=lambda item: item.inputs["x"].size)


FILLERS = {
    "a billion": lambda y, x, n: y.masked_fill(beyond(x, n), -1e9),
    "the smallest number": lambda y, x, n: y.masked_fill(beyond(x, n), torch.finfo(y.dtype).min),
    "added": lambda y, x, n: y + beyond(x, n).float() * -1e9,
    "where": lambda y, x, n: torch.where(beyond(x, n), torch.full((), 2.0**40, dtype=y.dtype), y),
    "infinity": lambda y, x, n: y.masked_fill(beyond(x, n), -torch.inf),
}


@pytest.mark.parametrize("then", FILLERS.values(), ids=FILLERS)
def test_a_filler_does_not_widen_the_limits_of_what_it_fills(then: Callable[..., Tensor]) -> None:
    item = largest_case(run(Model(then), XL))
    assert item.reference is not None
    y, limits = item.reference.eager["y"], item.tolerances["y"].limit
    usual = np.abs(y) < 100
    assert 100 < usual.sum() < y.size
    assert limits[usual].max() < 1e-5
    plain = largest_case(run(Model(lambda y, x: y)))
    assert limits[usual].max() < 4 * plain.tolerances["y"].limit.max()


@pytest.mark.parametrize("name", ["a billion", "where"])
def test_a_constant_filler_is_compared_exactly(name: str) -> None:
    item = largest_case(run(Model(FILLERS[name]), XL))
    assert item.reference is not None
    large = np.abs(item.reference.eager["y"]) > 100
    assert (item.tolerances["y"].limit[large] == 0).all()


def test_a_large_column_does_not_widen_the_others() -> None:
    item = largest_case(run(Model(lambda y, x: torch.cat([y, 1e9 * y[..., :1]], -1))))
    limits = item.tolerances["y"].limit.reshape(-1, 4).max(axis=0)
    assert limits[:3].max() < 1e-5
    assert limits[3] > 100


def test_a_small_column_is_judged_by_itself() -> None:
    item = largest_case(run(Model(lambda y, x: y * torch.tensor([1.0, 1e-2, 1e-4]))))
    limits = item.tolerances["y"].limit.reshape(-1, 3).max(axis=0)
    assert limits[1] < limits[0] / 30
    assert limits[2] < limits[1] / 30


def test_saturated_elements_are_not_compared_exactly() -> None:
    """A tanh of 30 is 1 in every run, and a library may give the number before it."""
    item = largest_case(run(Model(lambda y, x: torch.tanh(30 + y))))
    assert item.tolerances["y"].limit.min() > EPS


def test_what_cancels_is_allowed_what_it_was() -> None:
    item = largest_case(run(Model(lambda y, x: (y + 1000) - 1000)))
    assert 1e-4 < item.tolerances["y"].limit.max() < 4e-3


NAMED = {
    "keyword": lambda y, x: y + torch.zeros(3, dtype=torch.float32),
    "float": lambda y, x: y.float() * torch.ones(()).float(),
    "to": lambda y, x: y.to(torch.float32),
    "type": lambda y, x: torch.tensor([1.0, 2.0, 3.0], dtype=torch.float32) * y.type(torch.float32),
}


@pytest.mark.parametrize("then", NAMED.values(), ids=NAMED)
def test_a_model_that_names_its_dtype_has_a_float64_form(then: Callable[..., Tensor]) -> None:
    for item in run(Model(then)):
        assert item.reference is not None
        assert item.reference.exact is not None
        assert item.reference.exact["y"].dtype == np.float64


def by_dtype(y: Tensor, x: Tensor) -> Tensor:
    return y if y.dtype == torch.float32 else 1.1 * y


def test_where_float64_is_another_model_it_is_no_reference_and_the_output_is_unverified() -> None:
    expected = run(Model(by_dtype))
    item = largest_case(expected)
    assert item.reference is not None
    assert item.reference.exact_of("y") is None
    assert item.tolerances["y"].limit.max() < 1e-3
    assert "in float64 the model computes another 'y'" in why(expected)


@pytest.mark.parametrize("then", [lambda y, x: torch.sin(1e8 * y), lambda y, x: torch.frac(1e7 * y)])
def test_what_rounding_alone_decides_is_unverified(then: Callable[..., Tensor]) -> None:
    assert "PyTorch's own rounding errors reach" in why(run(Model(then)))


def test_one_column_that_rounding_decides_is_unverified() -> None:
    assert why(run(Model(lambda y, x: torch.cat([y, torch.sin(1e8 * y[..., :1])], -1))))


def test_nan_in_every_case_is_unverified() -> None:
    assert "is NaN in every ordinary case" in why(run(Model(lambda y, x: torch.log(-y.abs()))))


def test_integers_that_rounding_decides_are_unverified() -> None:
    then = Model(lambda y, x: (1e9 * y).long() % 7)
    assert "most integers of 'y' depend on rounding" in why(run(then))


def scaled_recurrence(factor: float) -> nn.Module:
    model = Model(lambda y, x: y)
    with torch.no_grad():
        model.gru.weight_hh_l0.mul_(factor)
    return model


@pytest.mark.parametrize(
    "model",
    [
        *map(Model, [lambda y, x: y, *NAMED.values()]),
        Model(lambda y, x: torch.relu(y)),
        Model(lambda y, x: torch.softmax(y, -1)),
        Model(lambda y, x: 1e4 + y),
        Model(lambda y, x: y.argmax(-1)),
        scaled_recurrence(4),
        scaled_recurrence(30),
    ],
)
def test_ordinary_outputs_are_verified(model: nn.Module) -> None:
    expected = run(model)
    assert why(expected) == ""
    references = [item.reference for item in expected if item.reference is not None and item.case.values == "ordinary"]
    assert references[0].eager["y"].dtype != np.float32 or not disagrees(references, "y")


def test_a_case_of_a_few_numbers_may_be_lucky() -> None:
    """The limit of the smallest case is no smaller than what is usual relative to its values."""
    expected = run(Model(lambda y, x: y))
    standard = measure_standards(expected)["y"]
    assert standard.baseline.shape == (3,)
    small = min(expected, key=lambda item: item.inputs["x"].size)
    assert small.reference is not None
    largest = np.abs(small.reference.eager["y"]).max()
    assert small.tolerances["y"].limit.min() >= 4 * 4 * EPS * largest / 2


def test_cases_that_show_little_are_known() -> None:
    weak = what_is_shown(run(scaled_recurrence(30))).weak
    assert "ordinary-T1-N1" not in weak
    assert "ordinary-T257-N1" in weak
    assert what_is_shown(run(Model(lambda y, x: y))).weak == set()
