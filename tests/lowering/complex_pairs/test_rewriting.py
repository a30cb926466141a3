"""Models that compute with complex numbers come out right: arithmetic, shapes, transforms, loops and stored numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from rnn_export import CaptureError, Signature, export_onnx
from torch import Tensor, nn
from torch.nn import functional as F

X = Signature({"x": "float32[T, N, 4]"})
WAV = Signature({"wav": "float32[N, S]"})
real, pairs = torch.view_as_real, torch.view_as_complex


def exported(model: nn.Module, signature: Signature, folder: Path) -> None:
    """Export and verify, then run at further sizes."""
    export_onnx(model.eval(), signature, folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (name,) = signature.inputs
    for size in (1, 4, 33, 400):
        shape = (size, 2, 4) if name == "x" else (2, size + 32)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(size))
        with torch.no_grad():
            expected = model(x)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for result, tensor in zip(session.run(None, {name: x.numpy()}), expected, strict=True):
            scale = float(tensor.double().abs().max())
            np.testing.assert_allclose(result, tensor.resolve_neg().numpy(), rtol=1e-4, atol=2e-5 * scale)


def operators(folder: Path) -> set[str]:
    return {node.op_type for node in onnx.load(folder / "model.onnx").graph.node}


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


class Signal(nn.Module):
    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, wav: Tensor) -> object:
        return self.function(wav)


def z(x: Tensor) -> Tensor:
    """[T, N, 4] real to [T, N, 2] complex."""
    return pairs(x.unflatten(-1, (2, 2)))


def written(x: Tensor) -> Tensor:
    y = z(x).clone()
    y[0] = 1j
    y[:, :, 0] = y[:, :, 1]
    y *= 2j
    y += 1
    return y


WINDOW = torch.hann_window(32)
MATRIX = torch.tensor([[1 + 1j, 2], [0.5j, -1j]])

FUNCTIONS: dict[str, Callable[[Tensor], object]] = {
    "products": lambda x: (real(z(x) * z(x.flip(0))), real(z(x) * x[..., :2]), real((2 - z(x)) * (1 + 2j) + 0.5)),
    "quotients": lambda x: (real(z(x) / (z(x.flip(0)) + 9)), real(1 / (2 + x[..., :2].abs() + 1j)), real(z(x) / 3j)),
    "polar": lambda x: (z(x).abs(), real(torch.polar(x[..., :2].abs(), x[..., 2:]))),
    "angle": lambda x: z(x).angle(),
    "powers": lambda x: (real(torch.exp(torch.tanh(x[..., :1]) * (1 + 2j))), real(z(x) ** 2), real(z(x).square())),
    "roots": lambda x: real(torch.sqrt(z(x))),
    "parts": lambda x: (z(x).real, z(x).conj().imag, real(torch.complex(x[..., :2], x[:1, :, 2:]))),
    "matrices": lambda x: (
        real(z(x) @ MATRIX),
        real(torch.einsum("tni,ij->tnj", z(x), MATRIX)),
        real(torch.bmm(z(x), z(x).mH)),
        real(F.linear(z(x), MATRIX, MATRIX[0])),
    ),
    "shapes": lambda x: (
        real(torch.cat([z(x).flip(0), z(x).unbind(-1)[1][..., None]], -1).unsqueeze(1).expand(-1, 3, -1, -1).sum(1)),
        real(F.pad(z(x), (1, 0, 0, 0, 1, 2))),
        z(x).contiguous().view(torch.float32),
        real(torch.stack([*z(x).chunk(2, -1), x[..., :1]], 1)),
    ),
    "choices": lambda x: (
        real(torch.where(x[..., :2] > 0, z(x), torch.zeros_like(z(x)))),
        real(z(x).masked_fill(x[..., :2] > 0, 1j)),
        z(x) == z(x.flip(0)),
        torch.isnan(z(x)),
    ),
    "written": lambda x: real(written(x)),
    "made": lambda x: real(
        torch.zeros(x.size(0), 2, dtype=torch.complex64) + z(x)[:, 0] + x.to(torch.cfloat)[:, 0, :2]
    ),
    "rotary": lambda x: real(z(x) * torch.polar(torch.ones(2), torch.arange(x.size(0))[:, None, None] * WINDOW[1:3])),
    "transforms": lambda x: (
        real(torch.fft.rfft(x)),
        torch.fft.irfft(z(x), n=3),
        real(torch.fft.fft(x, n=6)),
        real(torch.fft.ifft(z(x), n=5, norm="ortho")),
        torch.fft.irfft2(torch.fft.rfft2(x.unflatten(-1, (2, 2)))),
    ),
    "transforms over time": lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=0) * 2j, n=x.size(0), dim=0),
    "long convolution": lambda x: torch.fft.irfft(
        torch.fft.rfft(x, n=2 * x.size(0), dim=0)
        * torch.fft.rfft(0.9 ** torch.arange(x.size(0)), n=2 * x.size(0))[:, None, None],
        n=2 * x.size(0),
        dim=0,
    )[: x.size(0)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_a_sequence(name: str, tmp_path: Path) -> None:
    exported(Function(FUNCTIONS[name]), X, tmp_path / "b")


SIGNALS: dict[str, Callable[[Tensor], object]] = {
    "stft": lambda wav: real(torch.stft(wav, 32, 16, window=WINDOW, return_complex=True)),
    "hamming": lambda wav: torch.stft(
        wav, 32, 8, 20, torch.hamming_window(20), center=False, normalized=True, return_complex=True
    ).abs(),
    "istft": lambda wav: torch.istft(
        torch.stft(wav, 32, 8, window=WINDOW, return_complex=True) * (0.5 + 0.5j), 32, 8, window=WINDOW
    ),
    "length": lambda wav: torch.istft(
        torch.stft(wav, 30, 7, 30, WINDOW[:30] + 1, return_complex=True), 30, 7, 30, WINDOW[:30] + 1, length=wav.size(1)
    ),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_of_a_signal(name: str, tmp_path: Path) -> None:
    exported(Signal(SIGNALS[name]), WAV, tmp_path / "b")


class LinearRecurrentUnit(nn.Module):
    """Complex parameters, a complex state, and a loop in Python. x [T, N, 4].

    Source: Orvieto et al., "Resurrecting recurrent neural networks for long sequences", 2023.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.log_decay, self.theta = nn.Parameter(torch.rand(6) - 1), nn.Parameter(3 * torch.rand(6))
        self.b = nn.Parameter(torch.randn(6, 4, dtype=torch.complex64) / 3)
        self.c = nn.Parameter(torch.randn(3, 6, dtype=torch.complex64) / 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        decay = torch.exp(torch.complex(-torch.exp(self.log_decay), self.theta))
        u = x.to(torch.complex64) @ self.b.T
        h = torch.zeros(x.size(1), 6, dtype=torch.complex64)
        outputs = []
        for t in range(x.size(0)):
            h = decay * h + u[t]
            outputs.append((h @ self.c.T).real)
        return torch.stack(outputs), real(h)


class DiagonalStateSpace(nn.Module):
    """A kernel of T steps from complex numbers. x [T, N, 3].

    Source: Gu et al., "On the parameterization and initialization of diagonal state space models", 2022.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.c = nn.Parameter(torch.randn(4, 5, 2))
        self.a = nn.Parameter(torch.stack([-torch.rand(4, 5), math.pi * torch.arange(5.0).expand(4, 5)], -1))
        self.rnn = nn.GRU(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = pairs(self.a) * 0.1
        kernel = torch.einsum(
            "hn,hnl->hl", pairs(self.c) * (torch.exp(a) - 1) / a, torch.exp(a[..., None] * torch.arange(x.size(0)))
        ).real
        output: Tensor = self.rnn(kernel.T[:, None] * x)[0]
        return output


class Unitary(nn.Module):
    """A state that a unitary matrix turns in every step, and a rectified absolute value. x [T, N, 4].

    Source: Arjovsky et al., "Unitary evolution recurrent neural networks", 2016.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("order", torch.randperm(6))
        self.order: Tensor
        self.phases, self.bias = nn.Parameter(3 * torch.rand(6)), nn.Parameter(-0.1 * torch.rand(6))
        self.inputs, self.outputs = nn.Parameter(0.3 * torch.randn(6, 4)), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), 6, dtype=torch.complex64)
        outputs = []
        for step in x:
            turned = torch.fft.fft(h * torch.polar(torch.ones(6), self.phases), norm="ortho")[:, self.order]
            z = torch.fft.ifft(turned, norm="ortho") + step @ self.inputs.T
            length = z.abs() + 1e-6
            h = torch.relu(length + self.bias) / length * z
            outputs.append(self.outputs(real(h).flatten(1)))
        return torch.stack(outputs)


class Transformed(nn.Module):
    """A transform in every step, whose matrices the body takes as operands."""

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = torch.zeros(x.size(1), 4), []
        for t in range(x.size(0)):
            h = torch.tanh(torch.fft.irfft(torch.fft.rfft(h) * torch.fft.rfft(x[t]), n=4) * 0.1 + x[t])
            outputs.append(h)
        return torch.stack(outputs)


@pytest.mark.parametrize("kind", [LinearRecurrentUnit, DiagonalStateSpace, Unitary, Transformed])
def test_of_a_recurrence(kind: type[nn.Module], tmp_path: Path) -> None:
    exported(kind(), X, tmp_path / "b")


def test_float64(tmp_path: Path) -> None:
    class Double(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return real(torch.fft.rfft(x) * torch.tensor(1j, dtype=torch.complex128)), torch.fft.rfft(x).abs()

    export_onnx(Double(), Signature({"x": "float64[T, N, 12]"}), tmp_path / "b")


def test_an_operator_without_a_rule_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"aten\.tanh\.default on complex numbers at .*test_rewriting\.py:\d+"):
        export_onnx(Function(lambda x: real(torch.tanh(z(x)))), X, tmp_path / "b")


def test_a_complex_buffer_that_forward_writes_to_is_named(tmp_path: Path) -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("last", torch.zeros(2, dtype=torch.complex64))
            self.last: Tensor

        def forward(self, x: Tensor) -> Tensor:
            self.last.copy_(z(x)[0, 0])
            return real(z(x) + self.last)

    with pytest.raises(CaptureError, match="'last'"):
        export_onnx(Writes(), X, tmp_path / "b")
