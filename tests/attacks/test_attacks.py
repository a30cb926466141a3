"""No model that takes another path at some size gets a file, whatever the size is and wherever it is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rnn_export import CaptureError, ParityError, Signature, export_onnx, export_torchscript, read_bundle
from rnn_export.parity import probe
from rnn_export.torch_internals.modules import tree_leaves
from torch import nn

from . import models

# Every length up to 40, and far and round ones beside; batches beside what code likes to name.
SIZES = [
    *(
        (steps, 2)
        for steps in (*range(1, 41), *range(98, 106), 128, 150, 255, 256, 257, 258, 299, 300, 301, 512, 513, 700, 1000)
    ),
    *(
        (steps, batch)
        for steps in (1, 4, 7, 16, 33)
        for batch in (1, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 64, 65, 128)
    ),
]

X = Signature({"x": "float32[T, N, 3]"})


@pytest.fixture(autouse=True)
def _enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BUDGET", 60.0)


@pytest.mark.parametrize("model", models.WRONG)
def test_onnx_of_a_model_with_another_path_fails(
    model: type[nn.Module], tmp_path: Path, one_path_captured: None
) -> None:
    with pytest.raises((CaptureError, ParityError)) as error:
        export_onnx(model(), X, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    if model not in models.WITHOUT_A_BRANCH:
        assert "models.py:" in str(error.value), error.value


@pytest.mark.parametrize("model", models.WRONG)
def test_with_both_paths_captured_it_is_refused_or_right_at_every_size(model: type[nn.Module], tmp_path: Path) -> None:
    module = model()
    try:
        export_onnx(module, X, tmp_path / "out")
    except (CaptureError, ParityError):
        assert not (tmp_path / "out").exists()
        return
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    for steps, batch in SIZES:
        x = torch.randn(steps, batch, 3)
        try:
            with torch.no_grad():
                expected = module(x)
        except Exception:  # the model itself refuses this size
            continue
        for got, want in zip(session.run(None, {"x": x.numpy()}), tree_leaves(expected), strict=True):
            assert got.shape == tuple(want.shape), (steps, batch)
            assert np.allclose(got, want, rtol=1e-3, atol=1e-4), (steps, batch)


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
