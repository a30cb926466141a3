"""Inputs whose sizes follow from others are exported, right at every size, and refused at any other."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import rnn_export
import torch
import torch.nn.functional as F
from rnn_export import CaptureError, Signature, export_onnx, export_torchscript, verify
from rnn_export.pytorch.samples import Case, make_inputs
from torch import Tensor, nn


class Vocoder(nn.Module):
    """A convolution without padding, upsampled beside the waveform, as in WaveRNN; checks what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.rnn = nn.Conv1d(6, 8, 5), nn.GRU(9, 5, batch_first=True)

    def forward(self, wav: Tensor, spec: Tensor) -> Tensor:
        if wav.size(1) != 12 * (spec.size(1) - 4):
            raise ValueError("not as many samples as there have to be")
        above = self.layer(spec.mT).repeat_interleave(12, 2).mT
        return self.rnn(torch.cat([wav[:, :, None], above], 2))[0]


class Reduced(nn.Module):
    """Four steps become one, as in a pyramidal encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(24, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        N, T, width = x.shape
        return self.rnn(x.reshape(N, T // 4, width * 4))[0]


class Halved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(12, 5, batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.rnn(torch.cat([F.avg_pool1d(x.mT, 2).mT, y], 2))[0]


class Flattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(12, 5, batch_first=True)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.rnn(torch.cat([x, y.unflatten(0, x.shape[:2])], 2))[0]


class Divided(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 5, batch_first=True)

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return self.rnn(torch.cat([y, z], 1) + x)[0]


class Looped(nn.Module):
    """A Python loop whose steps take three frames each."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(18, 5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h, out = x.new_zeros(x.size(0), 5), []
        frames = y.reshape(y.size(0), -1, 12)
        for t in range(x.size(1)):
            h = self.cell(torch.cat([x[:, t], frames[:, t]], 1), h)
            out.append(h)
        return torch.stack(out, 1)


X = "float32[N, T, 6]"
MODELS = {
    "vocoder": (Vocoder, {"wav": "float32[N, 12*(T-4)]", "spec": X}),
    "reduced": (Reduced, {"x": "float32[N, 4*T, 6]"}),
    "halved": (Halved, {"x": X, "y": "float32[N, T//2, 6]"}),
    "flattened": (Flattened, {"x": X, "y": "float32[N*T, 6]"}),
    "divided": (Divided, {"x": X, "y": "float32[N, S, 6]", "z": "float32[N, T-S, 6]"}),
    "looped": (Looped, {"x": X, "y": "float32[N, 3*T, 4]"}),
}


@pytest.mark.parametrize(("kind", "inputs"), MODELS.values(), ids=MODELS)
def test_a_file_is_right_at_every_size_and_refuses_others(
    kind: type[nn.Module], inputs: dict[str, str], tmp_path: Path
) -> None:
    model, signature = kind(), Signature(inputs)
    exported = export_onnx(model, signature, tmp_path / "out")
    assert exported.report.probed is not None
    assert exported.report.probed.tried
    session = ort.InferenceSession(tmp_path / "out/model.onnx", providers=["CPUExecutionProvider"])
    assert [value.shape for value in session.get_inputs()] == [[*spec.shape] for spec in signature.inputs.values()]
    drawn = random.Random(0)
    tried = [{"N": N, "T": T, "S": drawn.randint(1, T)} for T in (1, 2, 5, 6, 7, 60, 400) for N in (1, 3)]
    fitting = [sizes for sizes in tried if signature.fits(sizes)]
    assert len(fitting) > 5
    for sizes in fitting:
        given = make_inputs(signature, Case(sizes, "ordinary", 1))
        with torch.no_grad():
            wanted = model.eval()(**{name: torch.from_numpy(array) for name, array in given.items()})
        np.testing.assert_allclose(session.run(None, given)[0], wanted, atol=2e-5)
        for name, spec in signature.inputs.items():
            for axis in (spec.shape.index(dim) for dim in spec.derived):
                shape = [size + (k == axis) for k, size in enumerate(given[name].shape)]
                with pytest.raises(Exception, match=f"{name} has a size of"):
                    session.run(None, {**given, name: np.resize(given[name], shape)})


def test_a_bundle_is_verified_afresh_and_as_torchscript(tmp_path: Path) -> None:
    loaded = rnn_export.load(f"{__file__}:Vocoder", inputs=MODELS["vocoder"][1])
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", source=loaded.source)
    export_torchscript(loaded.model, loaded.signature, tmp_path / "script")
    bundle = rnn_export.read_bundle(tmp_path / "out")
    assert bundle.artifacts["model.onnx"].bounds == {"T": {"min": 5}}
    assert {case.sizes["T"] for case in bundle.cases} >= {9}
    assert verify(tmp_path / "out", model=f"{__file__}:Vocoder").passed


@pytest.mark.parametrize("name", ["vocoder", "reduced"])
def test_a_size_of_the_whole_sequence_cannot_be_fed_in_chunks(name: str, tmp_path: Path) -> None:
    kind, inputs = MODELS[name]
    with pytest.raises(CaptureError, match="which follows from the number of steps as a whole"):
        export_onnx(kind(), Signature(inputs), tmp_path / "out", stateful=True)


def test_sizes_that_nothing_fits_are_refused(tmp_path: Path) -> None:
    kind, inputs = MODELS["halved"]
    with pytest.raises(rnn_export.SignatureError, match="At no sizes that were tried are all that follow from others"):
        export_onnx(kind(), Signature({**inputs, "y": "float32[N, T-T, 6]"}), tmp_path / "out")
