"""No model that takes another path at some size gets a file, whatever the size is and wherever it is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from rnn_export import CaptureError, ParityError, Signature, export_onnx, export_torchscript, read_bundle
from rnn_export.parity import probe
from torch import nn

from . import models

X = Signature({"x": "float32[T, N, 3]"})


@pytest.fixture(autouse=True)
def _enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BUDGET", 60.0)


@pytest.mark.parametrize("model", models.WRONG)
def test_onnx_of_a_model_with_another_path_fails(model: type[nn.Module], tmp_path: Path) -> None:
    with pytest.raises((CaptureError, ParityError)) as error:
        export_onnx(model(), X, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    if model not in models.WITHOUT_A_BRANCH:
        assert "models.py:" in str(error.value), error.value


@pytest.mark.parametrize("model", models.TRACED_WRONG)
def test_a_trace_of_a_model_with_another_path_fails(model: type[nn.Module], tmp_path: Path) -> None:
    with pytest.raises(ParityError):
        export_torchscript(model(), X, tmp_path / "out", method="trace", accept=["fixed-decision"])


@pytest.mark.parametrize("model", models.RIGHT)
def test_a_right_model_passes_at_every_size(model: type[nn.Module], tmp_path: Path) -> None:
    report = export_onnx(model(), X, tmp_path / "out").report
    assert report is not None
    assert report.probed is not None
    assert report.probed.tried == report.probed.planned > 200
    assert not report.probed.lax
    assert read_bundle(tmp_path / "out").artifacts["model.onnx"].parity["probed"] == report.probed.to_json()  # type: ignore[index]


def test_a_stream_that_changes_after_many_steps_fails(tmp_path: Path) -> None:
    with pytest.raises((CaptureError, ParityError)):
        export_onnx(models.LastFew(), X, tmp_path / "out", stateful=True)
