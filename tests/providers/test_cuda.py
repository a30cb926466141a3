"""Recurrent layers on CUDA, in the forms that --target cuda takes, with inputs and outputs in the GPU's memory.

Judged by eager PyTorch on the CPU, as everywhere, and by eager PyTorch on the GPU, with TensorFloat-32 off and on.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rnn_export import export_onnx
from rnn_export.parity.compare import FACTOR, FLOOR
from rnn_export.runtimes import Launch, open_session
from rnn_export.runtimes.devices import nvidia_device
from torch import nn

from providers.matrix import LAYERS, H, I, Record, heavy_elsewhere, layer, verified

RUNTIME = "onnxruntime:cuda"

DEVICE = nvidia_device()

pytestmark = [
    pytest.mark.skipif(not DEVICE, reason="no CUDA device"),
    pytest.mark.skipif(
        bool(DEVICE) and "CUDAExecutionProvider" not in onnxruntime.get_available_providers(),
        reason="this ONNX Runtime has no CUDA: make test-cuda",
    ),
]
ALL = pytest.mark.parametrize(("kind", "layers", "bidirectional"), LAYERS)


@ALL
def test_float32(kind: str, layers: int, bidirectional: bool, tmp_path: Path, record_property: Record) -> None:
    report = verified(RUNTIME, "cuda", (kind, layers, bidirectional), tmp_path / "out", record_property)
    assert report.passed, report.failure
    assert heavy_elsewhere(report) == []


@pytest.mark.skipif(bool(DEVICE) and not torch.cuda.is_available(), reason="this PyTorch has no CUDA")
@pytest.mark.parametrize("tf32", [False, True])
@ALL
def test_as_right_as_eager_on_the_gpu(
    kind: str, layers: int, bidirectional: bool, tf32: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = layer(kind, layers, bidirectional)
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", target="cuda", verify=False)
    launch = Launch({"use_tf32": str(int(tf32))})
    session = open_session(RUNTIME, tmp_path / "out" / "model.onnx", loaded.signature.outputs, launch)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", tf32)
    for T, N in ((7, 5), (1, 1), (257, 2)):
        x = torch.randn(T, N, I, generator=torch.Generator().manual_seed(T))
        exact = outputs(loaded.model.double(), x.double(), "cpu")
        eager = outputs(loaded.model.float(), x, "cuda")
        got = session.run({"x": x.numpy()})
        for name, reference, array in zip(loaded.signature.outputs, exact, eager, strict=True):
            scale = np.abs(reference).max()
            floor = FLOOR * np.finfo(np.float32).eps * scale
            limit = FACTOR * max(np.abs(array - reference).max(), floor)
            assert got[name].shape == reference.shape
            assert np.abs(got[name] - reference).max() <= limit, (name, T, N, H)


def outputs(model: nn.Module, x: torch.Tensor, device: str) -> list[np.ndarray]:
    """The layer's outputs and final states on a device, which the model then leaves."""
    with torch.no_grad():
        output, states = model.to(device)(x.to(device))
    model.to("cpu")
    return [tensor.cpu().numpy() for tensor in (output, *([states] if isinstance(states, torch.Tensor) else states))]
