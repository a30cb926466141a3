"""Shrinking a failing case, with known conditions in place of a runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from rnn_export import Signature
from rnn_export.parity.expected import Expected
from rnn_export.parity.shrink import Trial, shrink
from rnn_export.pytorch.samples import Case, make_inputs

SIGNATURE = Signature({"x": "float32[T, N, 2]", "lengths": "int64[N] in 1..T"})
START = Case({"T": 257, "N": 17}, "saturating", 5)

Inputs = Mapping[str, NDArray[np.generic]]
Condition = Callable[[Case, Inputs], bool]


def _draw(case: Case) -> Expected:
    return Expected(case, make_inputs(SIGNATURE, case), None)


def _shrunk(fails: Condition) -> Expected:
    trial = Trial(_draw, lambda case, inputs: Expected(case, inputs, None), lambda item: fails(item.case, item.inputs))
    return shrink(_draw(START), trial)


@pytest.mark.parametrize(
    ("fails", "sizes", "values"),
    [
        (lambda case, inputs: True, {"T": 1, "N": 1}, "zero"),
        (lambda case, inputs: case.sizes["T"] >= 200, {"T": 200, "N": 1}, "zero"),
        (lambda case, inputs: case.sizes["T"] * case.sizes["N"] >= 34, {"T": 2, "N": 17}, "zero"),
        (lambda case, inputs: case.values != "zero" and case.sizes["N"] > 1, {"T": 1, "N": 2}, "ordinary"),
        (lambda case, inputs: case.values == "saturating", {"T": 1, "N": 1}, "saturating"),
    ],
)
def test_sizes_and_values(fails: Condition, sizes: dict[str, int], values: str) -> None:
    found = _shrunk(fails)
    assert fails(found.case, found.inputs)
    assert (found.case.sizes, found.case.values) == (sizes, values)


def test_inputs_become_plainer() -> None:
    found = _shrunk(lambda case, inputs: bool((inputs["x"] != 0).any()))
    assert (found.inputs["x"] == 1).all()
    assert (found.inputs["lengths"] == 1).all()
    assert found.inputs["x"].dtype == np.float32


def test_a_non_finite_case_keeps_its_values() -> None:
    trial = Trial(_draw, lambda case, inputs: pytest.fail("fed"), lambda item: item.case.values == "nan")
    found = shrink(_draw(Case({"T": 5, "N": 3}, "nan", 0)), trial)
    assert found.case.sizes == {"T": 1, "N": 1}
    assert np.isnan(found.inputs["x"]).any()
