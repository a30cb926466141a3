"""Elements by channel and magnitude: which of them are near one another."""

from __future__ import annotations

import numpy as np
import pytest
from rnn_export.parity.magnitudes import FEW, Groups

RANDOM = np.random.default_rng(0)


def alone(values: np.ndarray) -> Groups:
    return Groups.of(values, np.zeros(values.size, np.intp), 1)


def test_a_filler_is_far_from_what_it_fills() -> None:
    logits, filler = np.abs(RANDOM.standard_normal(FEW)), np.full(20, 1e9)
    groups = alone(np.concatenate([logits, filler]))
    near = groups.near(np.concatenate([logits, filler]))
    assert near[:FEW].max() == logits.max()
    assert (near[FEW:] == 1e9).all()


def test_too_few_to_judge_alone_are_judged_with_the_larger() -> None:
    values = np.concatenate([np.ones(FEW - 1), np.full(20, 1e9)])
    assert (alone(values).near(values) == 1e9).all()


def test_a_wide_range_without_gaps_is_one_kind_whose_small_elements_are_not_judged_by_the_largest() -> None:
    values = 2.0 ** np.linspace(-30, 30, 4000)
    groups = alone(values)
    assert groups.whole(values).min() == values.max()
    near = groups.near(values)
    assert near[0] < 2.0**-13  # a quarter of the octaves
    assert (near >= values).all()
    assert (near[values > 1] <= 64 * values[values > 1]).all()


def test_channels_are_apart() -> None:
    values = np.concatenate([np.ones(100), np.full(100, 8.0)])
    groups = Groups.of(values, np.repeat([0, 1], 100), 2)
    assert [*groups.near(values)[[0, -1]]] == [1.0, 8.0]
    assert alone(values).near(values)[0] == 8.0


def test_zero_is_as_small_as_the_smallest() -> None:
    values = np.concatenate([np.zeros(10), np.full(100, 1e-3), np.full(100, 1e9)])
    assert alone(values).near(values)[0] == 1e-3


@pytest.mark.parametrize("seed", range(20))
def test_near_is_what_it_says(seed: int) -> None:
    """Against a plain count, element by element."""
    random = np.random.default_rng(seed)
    values = 2.0 ** random.uniform(*sorted(random.uniform(-20, 20, 2)), random.integers(1, 500))
    values = np.concatenate([values, 2.0 ** random.uniform(60, 62, random.integers(0, 100))])
    octave = np.frexp(values)[1]
    near = alone(values).near(values)
    split = np.sort(octave)
    gaps = np.flatnonzero(np.diff(split) > 10)
    edge = split[gaps[0]] if gaps.size and gaps[0] + 1 >= FEW else split[-1]
    for i in random.integers(0, values.size, 20):
        kind = np.sort(octave[(octave <= edge) == (octave[i] <= edge)])
        enough = kind[min(kind.size, max(FEW, int(np.ceil(kind.size / 4)))) - 1]
        reach = max(enough, min(octave[i] + 4, kind[-1]))
        assert near[i] == values[(octave <= reach) & (octave >= kind[0])].max()


@pytest.mark.parametrize("values", [np.zeros(0), np.zeros(3), np.full(3, 5e-324), np.full(3, 1.7e308)])
def test_nothing_and_extremes(values: np.ndarray) -> None:
    assert (alone(values).near(values) == values).all()
