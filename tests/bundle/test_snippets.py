"""Numbers in the programs of a bundle's README: each language reads those that were meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from rnn_export.bundle.programs.call import Filled, ProgramSpec
from rnn_export.bundle.programs.snippets import program

EXTREMES = (float(np.finfo(np.float32).min), 1e30, 123456792.0, -0.0, 0.5, float("nan"), float("-inf"))


def call(dtype: str, values: Sequence[float]) -> ProgramSpec:
    return ProgramSpec("model.onnx", {"x": Filled(dtype, (len(values),), tuple(values))}, {"y": dtype}, {}, None)


def test_floats_of_every_size() -> None:
    told = "-3.4028234663852886e+38f, 1e+30f, 123456792.0f, -0.0f, 0.5f, NAN, -INFINITY"
    assert f"filled<float>({{7}}, {{{told}}})" in program("onnxruntime.cpp", call("float32", EXTREMES))
    assert f"{{{told.replace('f', '')}}}" in program("onnxruntime.cpp", call("float64", EXTREMES))
    assert "1e+30, 123456792.0, -0.0, 0.5, NaN, -Infinity]" in program("onnxruntime.mjs", call("float32", EXTREMES))
    assert "1e+30, 123456792.0, -0.0, 0.5, np.nan, -np.inf]" in program("onnxruntime.py", call("float32", EXTREMES))


def test_the_least_integer() -> None:
    least = call("int64", [-(2**63)])
    assert "filled<int64_t>({1}, {INT64_MIN})" in program("onnxruntime.cpp", least)
    assert "filled<int64_t>(torch::kLong, {1}, {INT64_MIN})" in program("libtorch.cpp", least)
    assert "[-9223372036854775808n]" in program("onnxruntime.mjs", least)


@pytest.mark.parametrize("name", ["onnxruntime.cpp", "openvino.cpp", "libtorch.cpp"])
def test_only_a_program_that_needs_it_includes_cmath(name: str) -> None:
    assert "<cmath>" in program(name, call("float32", EXTREMES))
    assert "<cmath>" not in program(name, call("float32", [0.0]))
