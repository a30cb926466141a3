"""Recurrent layers on WebGPU, in the forms that --target webgpu takes, and which of their nodes run there."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
from rnn_export import PlacementError, Report
from rnn_export.pytorch.samples import NON_FINITE
from rnn_export.runtimes.session import ProviderOptions

from providers.matrix import HEAVY, LAYERS, Record, heavy_elsewhere, on, verified

RUNTIME = "onnxruntime:webgpu"
STRICT = ProviderOptions(strict=True)

pytestmark = pytest.mark.skipif(
    "WebGpuExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime has no WebGPU: make test-webgpu",
)


@pytest.mark.parametrize(
    ("kind", "layers", "bidirectional"), [architecture for architecture in LAYERS if architecture[0] != "gru"]
)
def test_the_forms_of_the_target(
    kind: str, layers: int, bidirectional: bool, tmp_path: Path, record_property: Record
) -> None:
    # No node of an LSTM may be on the CPU; the loop of a Scan is.
    provider_options = STRICT if kind == "lstm" else None
    report = verified(
        RUNTIME,
        "webgpu",
        (kind, layers, bidirectional),
        tmp_path / "out",
        record_property,
        provider_options=provider_options,
    )
    assert report.passed, report.failure
    assert right_but_for_nan(report)
    assert heavy_elsewhere(report) == []
    assert any(ran.operator in HEAVY for ran in on(report))
    assert ("LSTM" in {ran.operator for ran in on(report)}) == (kind == "lstm")


@pytest.mark.parametrize(
    ("kind", "layers", "bidirectional"), [architecture for architecture in LAYERS if architecture[0] == "gru"]
)
def test_a_gru_runs_there_as_scan(
    kind: str, layers: int, bidirectional: bool, tmp_path: Path, record_property: Record
) -> None:
    architecture = (kind, layers, bidirectional)
    report = verified(RUNTIME, "webgpu", architecture, tmp_path / "out", record_property, lowering="scan")
    assert report.passed, report.failure
    assert right_but_for_nan(report)
    assert heavy_elsewhere(report) == []
    assert any(ran.operator in HEAVY for ran in on(report))


def right_but_for_nan(report: Report) -> bool:
    """Whether every case passes, and of those alone whose input is not finite one may be excused."""
    return all(result.verdict == "PASS" for result in report.cases if result.case.values not in NON_FINITE)


def test_nan_goes_under(tmp_path: Path, record_property: Record) -> None:
    """If this fails, the driver keeps NaN, as it may: then nothing is to be excused on it."""
    report = verified(RUNTIME, "webgpu", ("rnn_relu", 1, False), tmp_path / "out", record_property)
    (result,) = [result for result in report.cases if result.case.values == "nan"]
    assert result.verdict == "EXPECTED"
    assert "The runtime's WebGPU kernel handles NaN differently from PyTorch" in result.note


@pytest.mark.parametrize(("kind", "operator"), [("gru", "GRU"), ("rnn_tanh", "RNN")])
def test_what_falls_back_is_a_failure(kind: str, operator: str, tmp_path: Path, record_property: Record) -> None:
    """If this fails, WebGPU has a kernel for the operator: --target webgpu may take it."""
    report = verified(RUNTIME, "webgpu", (kind, 1, False), tmp_path / "out", record_property, lowering="native")
    assert report.right
    assert not report.passed
    assert heavy_elsewhere(report) == [operator]
    assert f"right, but did not run entirely in {RUNTIME}: " in report.failure
    assert operator in {ran.operator for ran in report.placement.fallback}


def test_a_loop_is_not_strictly_there(tmp_path: Path, record_property: Record) -> None:
    with pytest.raises(PlacementError, match="would run on the CPU, which `strict=True` forbids"):
        verified(RUNTIME, "webgpu", ("rnn_tanh", 1, False), tmp_path / "out", record_property, provider_options=STRICT)
