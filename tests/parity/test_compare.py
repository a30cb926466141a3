"""Comparing one output: what passes, what fails, and why."""

from __future__ import annotations

import numpy as np
import pytest
from rnn_export.parity.check import first_step
from rnn_export.parity.compare import NonfiniteMask, OutputResult, judge
from rnn_export.parity.limits import Tolerance

EXACT = np.linspace(-1, 1, 12).reshape(3, 4)
EAGER = EXACT.astype(np.float32)
LIMIT = 4e-6


def tolerance(limit: float | np.ndarray = LIMIT, scale: float = 1.0) -> Tolerance:
    return Tolerance(np.broadcast_to(limit, EXACT.shape).astype(np.float64), np.full(EXACT.shape, scale))


def verdict(got: np.ndarray, eager: np.ndarray = EAGER, mask: NonfiniteMask | None = None) -> OutputResult:
    return judge("y", got, eager, EXACT, tolerance(), mask)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_error_beyond_its_limit_fails(sign: int) -> None:
    assert verdict(EAGER + np.float32(sign * 0.9 * LIMIT)).passed
    wrong = EAGER.copy()
    wrong[1, 2] += np.float32(sign * 2 * LIMIT)
    result = verdict(wrong)
    assert not result.passed
    assert result.index == result.first == (1, 2)
    assert "times the limit" in result.reason


def test_each_element_has_a_limit_of_its_own() -> None:
    limits = np.full(EXACT.shape, 1e3)
    limits[2, 1] = 1e-6
    assert judge("y", EAGER + np.float32(1), EAGER, EXACT, tolerance(limits)).index == (2, 1)
    near = EAGER + np.float32(1)
    near[2, 1] = EAGER[2, 1]
    result = judge("y", near, EAGER, EXACT, tolerance(limits))
    assert result.passed
    assert result.share < 0.1


def test_an_element_without_a_limit_is_the_very_same_number() -> None:
    limits = np.full(EXACT.shape, 1e-3)
    limits[0, 0] = 0
    assert judge("y", EAGER, EAGER, EXACT, tolerance(limits)).passed
    other = EAGER.copy()
    other[0, 0] = np.nextafter(other[0, 0], np.float32(0))
    assert "has to be the very same number" in judge("y", other, EAGER, EXACT, tolerance(limits)).reason


def test_a_bound_raises_limits_relative_to_the_scale() -> None:
    got = EAGER + np.float32(0.5)
    assert not judge("y", got, EAGER, EXACT, tolerance(scale=10.0), bound=0.01).passed
    assert judge("y", got, EAGER, EXACT, tolerance(scale=10.0), bound=0.1).passed


def test_shape_and_dtype_must_match() -> None:
    assert verdict(EAGER.T).reason == "has shape [4, 3] instead of [3, 4]"
    assert verdict(EAGER.astype(np.float64)).reason == "is float64 instead of float32"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_must_be_in_the_same_places(value: float) -> None:
    eager = EAGER.copy()
    eager[0, 1] = value
    same = eager.copy()
    assert verdict(same, eager).passed
    assert not verdict(EAGER, eager).passed
    assert not verdict(eager, EAGER).passed
    if np.isinf(value):
        assert not verdict(np.where(np.isinf(eager), -eager, eager), eager).passed


def test_a_kernel_that_hides_nan_is_excused_only_where_nan_has_effect() -> None:
    eager = EAGER.copy()
    eager[2] = np.nan
    mask = NonfiniteMask(np.isnan(eager), "GRU")
    assert "GRU kernel" in verdict(EAGER, eager, mask).excused
    assert verdict(eager, eager, mask).excused == ""
    elsewhere = EAGER.copy()
    elsewhere[0, 0] += 1e-3
    assert not verdict(elsewhere, eager, mask).passed
    assert not verdict(np.full_like(EAGER, np.nan), eager, mask).passed
    assert not verdict(EAGER, eager, NonfiniteMask(np.isnan(eager), "")).passed
    assert not verdict(EAGER, eager).passed


def test_integers_must_be_equal() -> None:
    eager = np.arange(6).reshape(2, 3)
    assert judge("y", eager.copy(), eager, None, None).passed
    assert judge("y", eager + 1, eager, None, None).reason == "is 1 instead of 0"


def test_integers_that_nan_affects_are_excused() -> None:
    eager = np.arange(6).reshape(2, 3)
    mask = NonfiniteMask(eager > 2, "ArgMax")
    assert judge("y", np.where(eager > 2, 0, eager), eager, None, None, mask).excused
    assert not judge("y", eager + 1, eager, None, None, mask).passed


@pytest.mark.parametrize("shape", [(0, 3), ()])
def test_empty_and_scalar_outputs(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    limits = Tolerance(np.zeros(shape), np.zeros(shape))
    assert judge("y", array, array, array.astype(np.float64), limits).passed


def test_the_time_step_of_an_index() -> None:
    sizes = {"T": 7, "N": 5}
    assert first_step(("T", "N", 3), (4, 1, 0), sizes, "T") == 4
    assert first_step(("N", "T", 3), (4, 1, 0), sizes, "T") == 1
    assert first_step(("T*N", 3), (11, 0), sizes, "T") == 2
    assert first_step(("N", 3), (4, 0), sizes, "T") is None
