"""Models that go another way beyond some length: frames that overlap, padding to a multiple, fewer steps."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.capture.capture import capture
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch.nn import functional as F

BATCH_FIRST = Signature({"x": "float32[N, T, 4]"})


class TrimmedFrames(nn.Module):
    """Frames beside the batch; afterwards each is trimmed, the first one at its end and the last at its start only."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 4, batch_first=True, bidirectional=True)
        self.mix = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, channels = x.shape
        y, width, framed = x, 10, False
        if length > width:
            stride = width // 2
            many = math.ceil(length / stride)
            y = F.pad(y, (0, 0, 0, (many - 1) * stride + width - length))
            y = y.unfold(1, width, stride).transpose(2, 3)
            y, framed = y.reshape(-1, width, channels), True
        y = self.mix(self.rnn(y)[0])
        if framed:
            frames, parts, margin = y.reshape(batch, -1, width, channels), [], stride // 2
            for k in range(many):
                if k == 0:
                    parts.append(frames[:, k, :-margin])
                elif k == many - 1:
                    parts.append(frames[:, k, margin:])
                else:
                    parts.append(frames[:, k, margin : width - stride + margin])
            y = torch.cat(parts, 1)[:, margin - 2 : length + margin - 2]
        return x + y


class BoundsOfFrames(nn.Module):
    """Returns early where it is short; else the margins of a frame are numbers that depend on its place."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        if length <= 11:
            short: Tensor = self.rnn(x)[0]
            return short
        frames = F.pad(x, (0, 0, 0, (4 - (length - 8) % 4) % 4)).unfold(1, 8, 4)
        many = frames.size(1)
        y = self.rnn(frames.permute(0, 1, 3, 2).flatten(0, 1))[0].view(batch, many, 8, 4)
        parts = []
        for i in range(many):
            start = 0 if i == 0 else 2
            stop = 8 if i == many - 1 else 6
            parts.append(y[:, i, start:stop])
        return torch.cat(parts, 1)[:, :length]


class Folded(nn.Module):
    """Frames are added up where they overlap, each step divided by the sum of its weights."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 4, batch_first=True)
        self.register_buffer("window", torch.linspace(0.5, 1.5, 6))

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        is_long = t > 12
        if is_long:
            many = -(-(t - 6) // 3) + 1
            total = (many - 1) * 3 + 6
            x = F.pad(x, (0, 0, 0, total - t)).unfold(1, 6, 3).transpose(2, 3).reshape(n * many, 6, 4)
        y, _ = self.rnn(x)
        if is_long:
            weights = self.window[None, :, None]
            columns = (y * weights).view(n, many, 6, 4).permute(0, 3, 2, 1).reshape(n, 24, many)
            size, width, stride = (1, total), (1, 6), (1, 3)
            norm = F.fold(weights.expand(1, 6, many), size, width, stride=stride)
            y = (F.fold(columns, size, width, stride=stride) / norm)[:, :, 0, :t].transpose(1, 2)
        return y


class Written(nn.Module):
    """Overlapping chunks, each added to its place of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        if length <= 8:
            short: Tensor = self.rnn(x)[0]
            return short
        many = math.ceil((length - 8) / 4) + 1
        x = F.pad(x, (0, 0, 0, (many - 1) * 4 + 8 - length))
        out = x.new_zeros(batch, (many - 1) * 4 + 8, 4)
        for k in range(many):
            out[:, k * 4 : k * 4 + 8] += self.rnn(x[:, k * 4 : k * 4 + 8])[0]
        return out[:, :length]


class Segments(nn.Module):
    """Padded to a multiple of four where it is none, then cut into segments beside the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.GRU(4, 5, batch_first=True)
        self.outer = nn.GRU(5, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, channels = x.shape
        if rest := length % 4:
            x = torch.cat([x, x.new_zeros(batch, 4 - rest, channels)], 1)
        segments = x.view(batch, -1, 4, channels)
        many = segments.shape[1]
        _, h = self.inner(segments.reshape(batch * many, 4, channels))
        y, _ = self.outer(h[0].view(batch, many, 5))
        return y.repeat_interleave(4, dim=1)[:, :length]


def cut(x: Tensor, size: int) -> tuple[Tensor, bool]:
    if x.size(0) <= size:
        return x.unsqueeze(0), False
    many = (x.size(0) + size - 1) // size
    padded = F.pad(x, (0, 0, 0, 0, 0, many * size - x.size(0)))
    return padded.reshape(many, size, *x.shape[1:]), True


class ThreeWays(nn.Module):
    """A helper cuts what is longer than seven; beyond forty every two steps are one before that."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.above = nn.GRU(4, 5), nn.GRU(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        if x.shape[0] > 40:
            x = F.avg_pool1d(F.pad(x, (0, 0, 0, 0, 0, x.shape[0] % 2)).permute(1, 2, 0), 2).permute(2, 0, 1)
        pieces, is_cut = cut(x, 7)
        outs, state = [], None
        for piece in pieces:
            y, h = self.rnn(piece)
            outs.append(y)
            if is_cut:
                _, state = self.above(h, state)
        whole = torch.cat(outs)[: x.shape[0]]
        return whole if state is None else whole + state


class FramesAlways(nn.Module):
    """Frames at every length: where there is one, it is the first and the last."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        many = (x.size(1) + 3) // 4
        padded = F.pad(x, (0, 0, 2, many * 4 + 2 - x.size(1)))
        parts = []
        for k in range(many):
            y = self.rnn(padded[:, k * 4 : k * 4 + 8])[0]
            if k < many - 1:
                y = y[:, :6]
            parts.append(y if k == 0 else y[:, 2:])
        return torch.cat(parts, 1)[:, 2 : x.size(1) + 2]


# Around every limit of these models, one sequence and several, as many as there are steps, and far beyond.
SIZES = ((1, 1), (2, 3), (4, 4), (7, 2), (8, 1), (9, 2), (10, 2), (11, 1), (12, 2), (13, 2), (15, 1), (16, 2), (17, 3),
         (23, 1), (40, 2), (41, 1), (43, 2), (101, 1), (104, 2))  # fmt: skip

MODELS = [TrimmedFrames, BoundsOfFrames, Folded, Written, Segments, ThreeWays, FramesAlways]


@pytest.mark.parametrize("model", MODELS)
def test_both_ways_are_right_in_one_file(model: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in SIZES]
    written(translated(model().eval(), BATCH_FIRST, cases), "auto", tmp_path / "model.onnx")


class FarAway(nn.Module):
    """Its limit is beyond every size that a capture uses."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, channels = x.shape
        is_long = length > 500
        if is_long:
            many = (length + 49) // 50
            x = F.pad(x, (0, 0, 0, many * 50 - length)).reshape(-1, 50, channels)
        y: Tensor = self.rnn(x)[0]
        return y.reshape(batch, -1, channels)[:, :length] if is_long else y


def test_a_limit_beyond_the_sizes_of_the_capture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    cases = [Case({"T": t, "N": n}, "ordinary", 1) for t, n in ((3, 2), (499, 1), (500, 2), (501, 1), (777, 2))]
    written(translated(FarAway().eval(), BATCH_FIRST, cases), "auto", tmp_path / "model.onnx")


def test_the_sizes_next_to_a_limit_are_known() -> None:
    model = FarAway().eval()
    captured = capture(model, BATCH_FIRST, {"x": torch.randn(5, 7, 4)})
    assert captured.limits == {"T": [500, 501]}


class RaggedFrames(nn.Module):
    """Each frame is longer than the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) <= 2:
            short: Tensor = self.rnn(x)[0]
            return short
        return torch.cat([self.rnn(x[:, : k + 1])[0] for k in range(x.size(1))], 1)[:, : x.size(1)]


def test_frames_that_differ_in_every_step_are_right(tmp_path: Path) -> None:
    cases = [Case({"N": n, "T": t}, "ordinary", 1) for t, n in ((1, 1), (2, 3), (3, 1), (5, 2), (9, 1))]
    given = translated(RaggedFrames().eval(), BATCH_FIRST, cases)
    written(given, "auto", tmp_path / "model.onnx")
