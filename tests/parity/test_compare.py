"""Comparing one output: what passes, what fails, and why."""

from __future__ import annotations

import numpy as np
import pytest
from rnn_export.parity.check import first_step
from rnn_export.parity.compare import FACTOR, NonfiniteMask, OutputResult, judge
from rnn_export.spec.artifact import Baseline

EXACT = np.linspace(-1, 1, 12).reshape(3, 4)
EAGER = EXACT.astype(np.float32)
EAGER_ERROR = 1e-6
NOTHING = Baseline(0.0, 0.0)


def verdict(got: np.ndarray, eager: np.ndarray = EAGER, mask: NonfiniteMask | None = None) -> OutputResult:
    return judge("y", got, eager, EXACT, EAGER_ERROR, NOTHING, mask)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_limit_is_pytorchs_own_error_times_the_factor(sign: int) -> None:
    assert verdict(EAGER + np.float32(sign * 0.9 * FACTOR * EAGER_ERROR)).passed
    wrong = EAGER.copy()
    wrong[1, 2] += np.float32(sign * 2 * FACTOR * EAGER_ERROR)
    result = verdict(wrong)
    assert not result.passed
    assert result.index == result.first == (1, 2)
    assert "times the limit" in result.reason


def test_a_lucky_case_is_judged_by_the_baseline() -> None:
    assert not judge("y", EAGER + np.float32(1e-5), EAGER, EXACT, 0.0, NOTHING).passed
    assert judge("y", EAGER + np.float32(1e-5), EAGER, EXACT, 0.0, Baseline(1.0, 1e-5)).passed


def test_small_numbers_are_judged_by_the_baseline_scale() -> None:
    small = EXACT * 1e-4
    got = (small + 1e-7).astype(np.float32)
    assert not judge("y", got, small.astype(np.float32), small, 0.0, NOTHING).passed
    assert judge("y", got, small.astype(np.float32), small, 0.0, Baseline(1.0, 0.0)).passed


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
    assert judge("y", eager.copy(), eager, None, 0.0, NOTHING).passed
    assert judge("y", eager + 1, eager, None, 0.0, NOTHING).reason == "is 1 instead of 0"


def test_integers_that_nan_affects_are_excused() -> None:
    eager = np.arange(6).reshape(2, 3)
    mask = NonfiniteMask(eager > 2, "ArgMax")
    assert judge("y", np.where(eager > 2, 0, eager), eager, None, 0.0, NOTHING, mask).excused
    assert not judge("y", eager + 1, eager, None, 0.0, NOTHING, mask).passed


def test_without_a_reference_the_tolerance_is_relative_to_the_largest_value() -> None:
    assert judge("y", EAGER * np.float32(1 + 5e-5), EAGER, None, 0.0, NOTHING).passed
    assert not judge("y", EAGER * np.float32(1 + 5e-4), EAGER, None, 0.0, NOTHING).passed


@pytest.mark.parametrize("shape", [(0, 3), ()])
def test_empty_and_scalar_outputs(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    assert judge("y", array, array, array.astype(np.float64), 0.0, NOTHING).passed


def test_the_time_step_of_an_index() -> None:
    sizes = {"T": 7, "N": 5}
    assert first_step(("T", "N", 3), (4, 1, 0), sizes, "T") == 4
    assert first_step(("N", "T", 3), (4, 1, 0), sizes, "T") == 1
    assert first_step(("T*N", 3), (11, 0), sizes, "T") == 2
    assert first_step(("N", 3), (4, 0), sizes, "T") is None
