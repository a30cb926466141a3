"""Models on CUDA, in the forms that --target cuda takes, with inputs and outputs in the GPU's memory.

Judged by eager PyTorch on the CPU, as everywhere, and by eager PyTorch on the GPU: in float32 with TensorFloat-32 off
and on, and in float16.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rnn_export import Signature, export_onnx, load, verify
from rnn_export.models import VARIANTS
from rnn_export.parity.compare import FACTOR, FLOOR, TF32_BOUND
from rnn_export.runtimes.open import open_session
from rnn_export.runtimes.placement import Ran
from rnn_export.runtimes.providers import nvidia_device
from rnn_export.runtimes.session import ProviderOptions
from torch import nn

from providers.matrix import HEAVY, LAYERS, H, I, Record, heavy_elsewhere, layer, verified

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


@ALL
def test_with_tf32(kind: str, layers: int, bidirectional: bool, tmp_path: Path, record_property: Record) -> None:
    provider_options = ProviderOptions({"use_tf32": "1"})
    architecture = (kind, layers, bidirectional)
    report = verified(
        RUNTIME, "cuda", architecture, tmp_path / "out", record_property, provider_options=provider_options
    )
    assert report.passed, report.failure
    assert report.bound == TF32_BOUND


@pytest.mark.parametrize("name", ["hetero", "scratch", "single", "classifier", "tagger", "initial_state"])
def test_float16(name: str, tmp_path: Path) -> None:
    loaded = load(name, seed=0)
    out = tmp_path / "out"
    export_onnx(loaded.model, loaded.signature, out, target="cuda", source=loaded.source, precision="float16")
    (report,) = verify(out, seed=0, runtime=RUNTIME).reports
    assert report.passed, report.failure
    assert heavy_elsewhere(report) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_built_in_models(name: str, tmp_path: Path) -> None:
    loaded = load(name, seed=0)
    out = tmp_path / "out"
    export_onnx(loaded.model, loaded.signature, out, target="cuda", source=loaded.source, verify=False)
    (report,) = verify(out, seed=0, runtime=RUNTIME).reports
    assert report.passed, report.failure
    assert heavy_elsewhere(report) == []


@pytest.mark.parametrize("kind", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_a_stream_in_chunks(kind: str, tmp_path: Path) -> None:
    loaded = layer(kind, 2, False)
    out = tmp_path / "out"
    export_onnx(loaded.model, loaded.signature, out, target="cuda", source=loaded.source, stateful=True, verify=False)
    (report,) = verify(out, seed=0, runtime=RUNTIME).reports
    assert report.passed, report.failure
    assert heavy_elsewhere(report) == []


@pytest.mark.parametrize("kind", ["rnn_tanh", "gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_sequences(kind: str, bidirectional: bool, tmp_path: Path) -> None:
    rnn = layer(kind, 1, bidirectional).model
    signature = Signature({"x": f"float32[T, N, {I}]", "lengths": "int64[N] in 1..T"}, ["output"])
    out = tmp_path / "out"
    export_onnx(Packed(rnn), signature, out, target="cuda", verify=False)
    (report,) = verify(out, seed=0, runtime=RUNTIME).reports
    assert report.passed, report.failure
    assert heavy_elsewhere(report) == []


class Packed(nn.Module):
    """A layer over sequences of given lengths, zero beyond them."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
        output: torch.Tensor = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], total_length=x.shape[0])[0]
        return output


@dataclass(frozen=True)
class Arithmetic:
    """What a product is computed in: of a dtype, and for float32 with TensorFloat-32 or without."""

    dtype: torch.dtype
    tf32: bool


ARITHMETIC = {
    "float32": Arithmetic(torch.float32, False),
    "float32 with TF32": Arithmetic(torch.float32, True),
    "float16": Arithmetic(torch.float16, False),
}


@pytest.mark.skipif(bool(DEVICE) and not torch.cuda.is_available(), reason="this PyTorch has no CUDA")
@pytest.mark.parametrize("name", ARITHMETIC)
@ALL
def test_as_right_as_eager_on_the_gpu(
    kind: str, layers: int, bidirectional: bool, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arithmetic = ARITHMETIC[name]
    model = layer(kind, layers, bidirectional).model.to(arithmetic.dtype)
    short = str(arithmetic.dtype).removeprefix("torch.")
    signature = Signature({"x": f"{short}[T, N, {I}]"}, ["output", "h_n", *(["c_n"] if kind == "lstm" else [])])
    export_onnx(model, signature, tmp_path / "out", target="cuda", verify=False)
    provider_options = ProviderOptions({"use_tf32": str(int(arithmetic.tf32))})
    session = open_session(RUNTIME, tmp_path / "out" / "model.onnx", signature.outputs, provider_options)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", arithmetic.tf32)
    eps = float(torch.finfo(arithmetic.dtype).eps)
    for T, N in ((7, 5), (1, 1), (257, 2)):
        x = torch.randn(T, N, I, generator=torch.Generator().manual_seed(T)).to(arithmetic.dtype)
        exact = outputs(copy.deepcopy(model).double(), x.double(), "cpu")
        eager = outputs(copy.deepcopy(model), x, "cuda")
        got = session.run({"x": x.numpy()})
        for output, reference, array in zip(signature.outputs, exact, eager, strict=True):
            limit = FACTOR * max(np.abs(array - reference).max(), FLOOR * eps * np.abs(reference).max())
            assert got[output].shape == reference.shape
            assert got[output].dtype == array.dtype
            assert np.abs(got[output] - reference).max() <= limit, (output, T, N, H)
    assert [ran.operator for ran in session.placement().nodes if ran.operator in HEAVY and not on_gpu(ran)] == []


def on_gpu(ran: Ran) -> bool:
    return ran.provider == "CUDAExecutionProvider"


def outputs(model: nn.Module, x: torch.Tensor, device: str) -> list[np.ndarray]:
    """The layer's outputs and final states on a device."""
    with torch.no_grad():
        output, states = model.to(device)(x.to(device))
    return [tensor.cpu().numpy() for tensor in (output, *([states] if isinstance(states, torch.Tensor) else states))]
