"""Fourier transforms in steps that have an ONNX form: frames by index, one FFT each, overlap-add by padding.

PyTorch's own take a strided view of the signal, and add the frames up element by element. An FFT of n points of a
dynamic dimension takes another path where it is longer than n.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..torch_internals.capture import known_true


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """`torch.stft` of real or complex input [S] or [N, S]: [N, F, frames], or [N, F, frames, 2] of real numbers."""
    is_batch = input.dim() == 2
    signal = input if is_batch else input.unsqueeze(0)
    if center:
        signal = F.pad(signal.unsqueeze(0), [n_fft // 2] * 2, pad_mode).squeeze(0)
    shape = _window(signal, window, win_length, n_fft)
    if align_to_window:
        # Frames begin where the padded window does.
        left = (n_fft - (n_fft if win_length is None else win_length)) // 2
        signal = F.pad(signal, [left, n_fft - (n_fft if win_length is None else win_length) - left])
    frames = _frames(signal, n_fft, n_fft // 4 if hop_length is None else hop_length)
    if shape is not None:
        frames = frames * shape
    is_real = not frames.is_complex()
    transform = torch.fft.rfft if (is_real if onesided is None else onesided) else torch.fft.fft
    spectrum = transform(frames, norm="ortho" if normalized else "backward").transpose(1, 2)
    spectrum = spectrum if is_batch else spectrum.squeeze(0)
    return spectrum if return_complex or not is_real else torch.view_as_real(spectrum)


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """`torch.istft` of input [F, frames] or [N, F, frames]: [S] or [N, S]."""
    is_batch = input.dim() == 3
    spectrum = (input if is_batch else input.unsqueeze(0)).transpose(1, 2)
    hop = n_fft // 4 if hop_length is None else hop_length
    norm = "ortho" if normalized else "backward"
    one_sided = spectrum.size(-1) != n_fft if onesided is None else onesided
    if return_complex:
        frames = torch.fft.ifft(spectrum, norm=norm)
    elif one_sided:
        frames = torch.fft.irfft(spectrum, n=n_fft, norm=norm)
    else:
        frames = torch.fft.ifft(spectrum, norm=norm).real
    shape = _window(frames, window, win_length, n_fft)
    if shape is None:
        shape = frames.new_ones(n_fft)
    envelope = _overlap_add((shape * shape).expand(1, frames.size(1), n_fft), hop)
    signal = _overlap_add(frames * shape, hop)
    start = n_fft // 2 if center else 0
    size = n_fft + hop * (frames.size(1) - 1)
    stop = size - start if center and length is None else size
    signal = signal[:, start:stop] / envelope[:, start:stop]
    if length is not None:
        # PyTorch fills up with zeros what the frames do not reach.
        signal = torch.cat([signal, signal.new_zeros(signal.size(0), length)], 1)[:, :length]
    return signal if is_batch else signal.squeeze(0)


def _window(like: Tensor, window: Tensor | None, win_length: int | None, n_fft: int) -> Tensor | None:
    """The window [n_fft], padded on both sides; None if it is all ones."""
    length = n_fft if win_length is None else win_length
    if window is None:
        if length == n_fft:
            return None
        window = like.real.new_ones(length)
    left = (n_fft - length) // 2
    return F.pad(window, [left, n_fft - length - left]) if length < n_fft else window


def _frames(signal: Tensor, n_fft: int, hop: int) -> Tensor:
    """[N, S] to [N, frames, n_fft]."""
    count = 1 + (signal.size(1) - n_fft) // hop
    starts = hop * torch.arange(count, device=signal.device)
    index = starts.unsqueeze(1) + torch.arange(n_fft, device=signal.device)
    return signal[:, index]


def _overlap_add(frames: Tensor, hop: int) -> Tensor:
    """[N, frames, n_fft] to [N, n_fft + hop * (frames - 1)]: frames are cut into pieces of `hop`, which line up."""
    n_fft, count = frames.size(2), frames.size(1)
    pieces = -(-n_fft // hop)
    cut = F.pad(frames, [0, pieces * hop - n_fft])
    total = None
    for i in range(pieces):
        piece = F.pad(cut[:, :, i * hop : (i + 1) * hop], [0, 0, i, pieces - 1 - i])
        total = piece if total is None else total + piece
    assert total is not None
    return total.flatten(1)[:, : n_fft + hop * (count - 1)]


def _transform(function: Callable[..., Tensor], frequencies: Callable[[Any], Any]) -> Callable[..., Tensor]:
    """A one-dimensional transform of `torch.fft`, with its input first cut or filled up; of n points it has so many."""

    def transform(input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None) -> Tensor:
        if n is None:
            return function(input, n, dim, norm)
        return function(_resized(input, frequencies(n), dim), n, dim, norm)

    return transform


def _resized(input: Tensor, size: Any, dim: int) -> Tensor:
    if (isinstance(size, int) and isinstance(input.size(dim), int)) or known_true(input.size(dim) == size):
        return input  # PyTorch knows what to do
    shape = list(input.shape)
    shape[dim] = size
    return torch.cat([input, input.new_zeros(shape)], dim).narrow(dim, 0, size)


TRANSFORMS = {
    **{
        getattr(torch.fft, name): _transform(getattr(torch.fft, name), lambda n: n)
        for name in ("fft", "ifft", "rfft", "ihfft")
    },
    **{
        getattr(torch.fft, name): _transform(getattr(torch.fft, name), lambda n: n // 2 + 1)
        for name in ("irfft", "hfft")
    },
}
