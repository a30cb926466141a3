"""The least sizes that a model runs at are found by running it, and what has no least size is given none."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from rnn_export.pytorch import least_sizes as module
from rnn_export.pytorch.least_sizes import first_running, growing, least_sizes


@pytest.mark.parametrize("least", [1, 2, 3, 5, 8, 40, 41, 90, 256, 400, *random.Random(0).sample(range(2, 400), 8)])
def test_the_least_size_is_found_beside_others(least: int) -> None:
    found = least_sizes(lambda sizes: sizes["T"] >= least, {"N": 7, "T": least + 3})
    assert found == ({"T": least} if least > 1 else {})


def test_two_sizes_have_a_least_one_each() -> None:
    assert least_sizes(lambda sizes: sizes["H"] >= 13 and sizes["W"] >= 9, {"H": 31, "W": 37}) == {"H": 13, "W": 9}


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param(lambda sizes: sizes["T"] % 4 == 0, id="multiples"),
        pytest.param(lambda sizes: sizes["T"] * sizes["N"] >= 30, id="elements"),
        pytest.param(lambda sizes: sizes["T"] in (3, 12) or sizes["T"] > 6, id="holes"),
        pytest.param(lambda sizes: sizes["T"] == 12, id="one size"),
        pytest.param(lambda sizes: sizes["T"] >= 5 * sizes["N"] - 30, id="one in terms of the other"),
    ],
)
def test_what_no_least_size_describes_has_none(runs: module.Runs) -> None:
    assert "T" not in least_sizes(runs, {"N": 7, "T": 12})


def test_a_search_that_takes_too_long_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", -1.0)
    assert least_sizes(lambda sizes: sizes["T"] >= 4, {"T": 9}) == {}
    assert first_running(lambda sizes: True, {"T": 9}) is None


@pytest.mark.parametrize("least", [6, 13, 90, 400, 800, 2400])
def test_a_size_is_found_at_which_a_model_runs(least: int) -> None:
    found = first_running(lambda sizes: sizes["T"] >= least, {"N": 7, "T": 5})
    assert found is not None
    assert found["N"] == 7
    assert least <= found["T"] <= 5 * least


@pytest.mark.parametrize("step", [2, 4, 8, 12, 16, 32])
def test_a_multiple_is_found(step: int) -> None:
    found = first_running(lambda sizes: sizes["T"] % step == 0, {"N": 7, "T": 5})
    assert found is not None
    assert found["T"] % step == 0


def test_an_image_grows_in_both_directions() -> None:
    def runs(sizes: Mapping[str, int]) -> bool:
        return sizes["H"] % 16 == 0 and sizes["W"] % 16 == 0

    found = first_running(runs, {"N": 7, "T": 5, "H": 11, "W": 13})
    assert found is not None
    assert (found["N"], found["T"]) == (7, 5)
    assert found["H"] != found["W"]


def test_growing_sizes_start_small_and_leave_the_others() -> None:
    found = [*growing({"N": 7, "T": 5}, ["T"])]
    assert found[:3] == [{"N": 7, "T": 12}, {"N": 7, "T": 13}, {"N": 7, "T": 31}]
    assert len({tuple(sizes.values()) for sizes in found}) == len(found)
