"""The transforms that a capture has for PyTorch's own compute what these compute, for any window and length."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from rnn_export.capture.spectra import TRANSFORMS, istft, stft
from torch import Tensor

SETTINGS: list[dict[str, Any]] = [
    {"n_fft": 16, "window": torch.ones(16)},
    {"n_fft": 16, "hop_length": 8, "window": torch.hann_window(16)},
    {"n_fft": 15, "hop_length": 4, "win_length": 12, "window": torch.hamming_window(12)},
    {"n_fft": 16, "hop_length": 3, "win_length": 10, "normalized": True, "window": torch.ones(10)},
    {"n_fft": 16, "hop_length": 4, "onesided": False, "window": torch.hann_window(16)},
]


def parts(tensor: Tensor) -> Tensor:
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("shape", [(40,), (2, 40), (3, 77), (1, 400)])
def test_there_and_back(settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    spectrum = torch.stft(x, return_complex=True, **settings)
    torch.testing.assert_close(stft(x, return_complex=True, **settings), spectrum)
    torch.testing.assert_close(istft(spectrum, **settings), torch.istft(spectrum, **settings))
    for length in (30, shape[-1]):
        expected = torch.istft(spectrum, length=length, **settings)
        torch.testing.assert_close(istft(spectrum, length=length, **settings), expected)


@pytest.mark.filterwarnings("ignore:stft with return_complex=False")
@pytest.mark.parametrize(
    "settings",
    [
        {"center": False},
        {"pad_mode": "constant"},
        {"return_complex": False},
        {"center": False, "align_to_window": True},
    ],
    ids=str,
)
def test_how_frames_are_placed(settings: dict[str, Any]) -> None:
    settings = {"return_complex": True, "n_fft": 16, "win_length": 10, "window": torch.hann_window(10), **settings}
    x = torch.randn(2, 53)
    torch.testing.assert_close(parts(stft(x, **settings)), parts(torch.stft(x, **settings)))


def test_a_signal_that_the_frames_do_not_reach_ends_in_zeros() -> None:
    spectrum = torch.stft(torch.randn(2, 64), 16, window=torch.hann_window(16), return_complex=True)
    settings: dict[str, Any] = {"n_fft": 16, "window": torch.hann_window(16), "length": 100}
    torch.testing.assert_close(istft(spectrum, **settings)[:, 72:], torch.zeros(2, 28))


def test_a_complex_signal() -> None:
    x = torch.randn(2, 64, dtype=torch.complex64)
    spectrum = torch.stft(x, 16, window=torch.hann_window(16), return_complex=True, onesided=False)
    torch.testing.assert_close(stft(x, 16, window=torch.hann_window(16), return_complex=True, onesided=False), spectrum)
    back = {"n_fft": 16, "window": torch.hann_window(16), "onesided": False, "return_complex": True}
    torch.testing.assert_close(istft(spectrum, **back), torch.istft(spectrum, **back))  # type: ignore[arg-type]


@pytest.mark.parametrize("function", TRANSFORMS, ids=lambda function: str(function.__name__))
@pytest.mark.parametrize("n", [None, 5, 12])
def test_transforms_of_a_number_of_points(function: Any, n: int | None) -> None:
    is_real = function in (torch.fft.rfft, torch.fft.ihfft)
    x = torch.randn(3, 8, dtype=torch.float32 if is_real else torch.complex64)
    torch.testing.assert_close(parts(TRANSFORMS[function](x, n)), parts(function(x, n)))
