"""What the programs of a README are fed: values that inputs may hold, at sizes that the file takes."""

from __future__ import annotations

import pytest
from rnn_export import Signature
from rnn_export.bundle.programs.sample import least_sizes, values_for
from rnn_export.spec.signature import TensorSpec

SIZES = {"T": 7, "N": 5}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("float32[T, N]", (0.5, -0.25, 1.0, -0.75)),
        ("float32[T] in 0..1", (0.5, 0.25, 0.75)),
        ("float32[T] > 0", (1.0, 0.5, 1.5)),
        ("float32[T] <= -2", (-3.0, -2.5, -3.5)),
        ("float32[T] in {0, 3}", (0.0, 3.0)),
        ("float64[T] in -1e308..1e308", (0.0, -5e307, 5e307)),
        ("float16[T] >= 0, < 6e-8", (0.0,)),
        ("int64[T] in 2..5", (2, 3, 4, 5)),
        ("int64[T] in 0..1", (0, 1)),
        ("int64[T] in 0..5 descending", (0,)),
        ("int64[N] in 1..T", (7,)),
        ("int64[N] in 0..T descending", (7,)),
        ("int64[T]", (0,)),
        ("bool[T]", (0,)),
    ],
)
def test_values(text: str, values: tuple[float, ...]) -> None:
    assert values_for(TensorSpec.parse(text), SIZES, depends=False) == values


def test_integers_of_cases_that_the_caller_made_are_the_least() -> None:
    assert values_for(TensorSpec.parse("int64[T] in 2..5"), SIZES, depends=True) == (2,)


def test_the_least_sizes() -> None:
    signature = Signature({"x": "float32[N, T, 3]", "y": "float32[N, 4*(T-4)]"})
    assert least_sizes(signature, {}) == {"N": 5, "T": 5}
    assert least_sizes(signature, {"T": {"min": 6}}) == {"N": 1, "T": 6}


def test_sizes_that_never_fit_are_the_least() -> None:
    assert least_sizes(Signature({"x": "float32[T]", "y": "float32[1-T]"}), {}) == {"T": 1}
