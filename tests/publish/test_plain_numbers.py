"""Numbers as people write them."""

from __future__ import annotations

import math

import pytest
from rnn_export.publish.plain_numbers import compared, duration, power_of_ten, share


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (7.42e-6, "7.4 µs"),
        (7.4e-5, "74 µs"),
        (9.996e-4, "1.0 ms"),
        (1.25e-3, "1.2 ms"),
        (0.0313, "31 ms"),
        (1.12, "1.1 s"),
        (1234.0, "1,234 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("file", "eager", "text"),
    [
        (1.0, 1.02, "as fast"),
        (1.0, 1.5, "1.5 times as fast"),
        (1.0, 790.0, "790 times as fast"),
        (1.5, 1.0, "takes 1.5 times as long"),
    ],
)
def test_comparisons(file: float, eager: float, text: str) -> None:
    assert compared(file, eager) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.41e-7, "1.4 \N{MULTIPLICATION SIGN} 10⁻⁷"),
        (2e12, "2.0 \N{MULTIPLICATION SIGN} 10¹²"),
        (0.0, "0"),
        (0.1, "0.1"),
        (12.3, "12"),
        (math.inf, "not finite"),
    ],
)
def test_errors(number: float, text: str) -> None:
    assert power_of_ten(number) == text


def test_shares() -> None:
    assert [share(each) for each in (0.154, 1234.0, math.inf)] == ["15%", "1,234 times", "beyond any number"]
