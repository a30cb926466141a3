"""An ONNX file of others is compared in two runtimes: what they agree on passes, and what they do not is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rnn_export import export_onnx
from rnn_export.errors import InputError
from rnn_export.parity import other_runtime
from rnn_export.parity.file_signature import signature_of
from rnn_export.parity.other_runtime import agreement, compare_runtimes
from rnn_export.runtimes.onnxruntime import open_onnxruntime_cpu
from rnn_export.runtimes.session import SessionWrapper
from torch import nn

Array = NDArray[np.generic]


def _gru(path: Path, *, first: str = "T", tokens: bool = False) -> Path:
    """A GRU of 8 units over 4 inputs [T, N, 4], or over an embedding of tokens [T, N]; `first` is how T is called."""
    rng = np.random.default_rng(0)
    shapes = {"W": (1, 24, 4), "R": (1, 24, 8), "E": (10, 4)}
    weights = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), name) for name, s in shapes.items()]
    read = [helper.make_node("Gather", ["E", "x"], ["e"])] if tokens else []
    layer = helper.make_node(
        "GRU", ["e" if tokens else "x", "W", "R"], ["y", "h"], hidden_size=8, linear_before_reset=1
    )
    kind, size = (TensorProto.INT64, []) if tokens else (TensorProto.FLOAT, [4])
    inputs = [helper.make_tensor_value_info("x", kind, [first or None, "N", *size])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("y", "h")]
    graph = helper.make_graph([*read, layer], "elsewhere", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@dataclass(frozen=True)
class _Off(SessionWrapper):
    """Adds so much to every number of one output of long sequences."""

    by: float

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        found = self.session.run(inputs)
        long = len(inputs["x"]) > 100
        return {**found, "h": found["h"] + np.float32(self.by) if long else found["h"]}


def test_runtimes_that_agree_pass_with_what_was_compared(tmp_path: Path) -> None:
    report = compare_runtimes(_gru(tmp_path / "model.onnx"), "onnx.reference")
    assert report.passed
    assert {result.case.sizes["T"] for result in report.cases} >= {1, 2, 17, 257}
    headline, rest, caveat = agreement(report)
    assert headline == "model.onnx: onnx.reference agrees with onnxruntime:cpu"
    assert rest.startswith(f"{len(report.cases)} cases, worst ")
    assert "nothing here shows" in caveat


@pytest.mark.parametrize(("by", "passed"), [(1e-6, True), (1e-3, False)])
def test_a_runtime_that_is_off_is_told_apart_from_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: float, passed: bool
) -> None:
    monkeypatch.setattr(other_runtime, "open_session", lambda *given: _Off(open_onnxruntime_cpu(given[1]), by))
    report = compare_runtimes(_gru(tmp_path / "model.onnx"), "elsewhere")
    assert report.passed is passed
    assert {result.case.sizes["T"] for result in report.cases if result.verdict == "FAIL"} <= {257}
    assert passed or "output 'h' is off by 0.001" in report.failure


def test_a_runtime_with_nan_is_said_to_differ_from_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_runtime, "open_session", lambda *given: _Off(open_onnxruntime_cpu(given[1]), np.nan))
    report = compare_runtimes(_gru(tmp_path / "model.onnx"), "elsewhere")
    assert "is nan where ONNX Runtime has" in report.failure


@pytest.mark.parametrize("runtime", [None, "onnxruntime:cpu"])
def test_a_file_alone_is_not_compared_with_itself(tmp_path: Path, runtime: str | None) -> None:
    with pytest.raises(InputError, match=r"is not a bundle, so that nothing says what PyTorch computes\. Give another"):
        compare_runtimes(_gru(tmp_path / "model.onnx"), runtime)


def test_what_the_file_does_not_say_of_its_inputs_is_asked_for(tmp_path: Path) -> None:
    tokens = _gru(tmp_path / "tokens.onnx", tokens=True)
    with pytest.raises(
        InputError, match=r"does not say which integers 'x' takes.* --input 'x: int64\[T, N\] in 0\.\.27'"
    ):
        compare_runtimes(tokens, "onnx.reference")
    assert compare_runtimes(tokens, "onnx.reference", inputs={"x": "int64[T, N] in 0..9"}).passed
    unnamed = _gru(tmp_path / "unnamed.onnx", first="")
    with pytest.raises(InputError, match=r"does not name every size of 'x'.* --input 'x: float32\[N, N, 4\]'"):
        compare_runtimes(unnamed, "onnx.reference")
    assert compare_runtimes(unnamed, "onnx.reference", inputs={"x": "float32[T, N, 4]"}).passed
    with pytest.raises(InputError, match=r"has no input 'y'\. It has x"):
        compare_runtimes(tokens, "onnx.reference", inputs={"y": "int64[T, N] in 0..9"})


def test_sizes_that_onnx_runtime_refuses_are_not_compared(tmp_path: Path) -> None:
    report = compare_runtimes(_gru(tmp_path / "model.onnx"), "onnx.reference", inputs={"x": "float32[T, N, I]"})
    refused = {result.case.sizes["I"] for result in report.cases if result.verdict == "REFUSED"}
    assert 4 not in refused
    assert refused
    assert all(
        result.note.startswith("ONNX Runtime refuses it") for result in report.cases if result.verdict == "REFUSED"
    )


def test_whole_numbers_that_are_states_are_what_a_stream_begins_with(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = -3
            self.register_buffer("seen", torch.tensor([2, 5]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.seen = self.seen + 1
            return x * self.calls + self.seen.sum()

    exported = export_onnx(Counting(), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    signature = signature_of(exported.model, {})
    assert (signature.inputs["calls0"].range, signature.inputs["seen0"].range) == ((-3, -3), (2, 5))
    assert compare_runtimes(exported.model, "onnx.reference").passed
