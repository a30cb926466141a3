"""Instance normalization as exact as PyTorch's, of numbers far from zero too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from rnn_export import Signature, export_onnx
from torch import nn


def _run(model: nn.Module, spec: str, x: NDArray[np.float32], folder: Path) -> tuple[float, float]:
    """How far PyTorch and the file are off from float64."""
    export_onnx(model.eval(), Signature({"x": spec}), folder / "bundle")
    session = onnxruntime.InferenceSession(folder / "bundle" / "model.onnx")
    found = session.run(None, {"x": x})[0]
    with torch.no_grad():
        eager, exact = model(torch.from_numpy(x)).numpy(), model.double()(torch.from_numpy(x).double()).numpy()
    return float(np.abs(eager - exact).max()), float(np.abs(found - exact).max())


def test_a_large_picture_of_positive_numbers_is_as_exact_as_in_pytorch(tmp_path: Path) -> None:
    x = np.random.default_rng(0).gamma(0.1, 1.0, (1, 4, 173, 252)).astype(np.float32)
    eager, found = _run(nn.InstanceNorm2d(4), "float32[N, 4, T, 252]", x, tmp_path)
    assert found <= 4 * eager


@pytest.mark.parametrize(
    ("model", "spec", "shape"),
    [
        (nn.InstanceNorm1d(3, affine=True), "float32[N, 3, T]", (2, 3, 9)),
        (nn.InstanceNorm2d(3, affine=True, track_running_stats=True), "float32[N, 3, T, 5]", (2, 3, 9, 5)),
        (nn.InstanceNorm3d(3), "float32[N, 3, T, 5, 2]", (1, 3, 9, 5, 2)),
    ],
    ids=["affine", "running", "three axes"],
)
def test_every_form_is_what_pytorch_computes(
    tmp_path: Path, model: nn.Module, spec: str, shape: tuple[int, ...]
) -> None:
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    for buffer in model.buffers():
        if buffer.is_floating_point():
            nn.init.uniform_(buffer, 0.5, 2.0)
    x = (3 + np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    eager, found = _run(model, spec, x, tmp_path)
    assert found <= 4 * max(eager, 1e-7)
