"""Models that keep something from call to call, exported as streams: called again and again, beside the file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from rnn_export import Stream, export_onnx, export_torchscript
from rnn_export.errors import CaptureError, FixedDecisionError
from rnn_export.pytorch.archive import read_torchscript
from torch import Tensor, nn


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)
        self.h: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.h = self.cell(x, self.h)
        return self.h.sum(1)


class Ring(nn.Module):
    """Its counter is read before and after it is raised, and wraps around."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.register_buffer("ring", torch.zeros(size, 4))
        self.at, self.size = 0, size

    def forward(self, x: Tensor) -> Tensor:
        place = self.at
        self.at += 1
        if self.at >= self.size:
            self.at = 0
        self.ring[place] = x.mean(0)
        return self.ring.sum(0) * (place + 1) + self.at


class Cached(nn.Module):
    """A causal convolution over T that keeps the last frames."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 2, 4)
        self.cache: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.cache is None:
            self.cache = x.new_zeros(x.size(0), 3, 3)
        frames = torch.cat([self.cache, x], 2)
        self.cache = frames[:, :, -3:]
        return self.conv(frames)


@pytest.mark.parametrize(("model", "states"), [(Policy(), ["h0"]), (Ring(), ["at0", "ring0"])])
def test_calls_are_a_stream(model: nn.Module, states: list[str], tmp_path: Path) -> None:
    exported = export_onnx(model, "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    assert [value.name for value in onnx.load(exported.model).graph.input] == ["x", *states]
    assert exported.report is not None
    calls = {result.fed for result in exported.report.cases if result.fed}
    assert {"in 2000 calls", "in 7 calls after a reset"} <= calls
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    stream = manifest["artifacts"]["model.onnx"]["stream"]
    assert stream["time"] is None
    assert stream["own"] == states
    fed = Stream(tmp_path / "bundle", sizes={"N": 2})
    for x in torch.randn(8, 2, 4):
        with torch.no_grad():
            assert np.allclose(fed.step(x.numpy()), model(x).numpy(), atol=1e-5)


class Latch(nn.Module):
    """What it keeps changes at values that ordinary inputs do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.on = nn.GRUCell(4, 4), False
        self.h: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.h = self.cell(x, self.h)
        if x.max() > 500:
            self.on = True
        return self.h * (2 if self.on else 1)


def test_what_a_decision_alone_writes_is_a_state(tmp_path: Path) -> None:
    model = Latch()
    export_onnx(model, "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    stream = Stream(tmp_path / "bundle")
    assert {*stream.states} == {"h0", "on0"}
    with torch.no_grad():
        for scale in (1, 1, 9000, 1, 1):
            x = torch.rand(1, 4) * scale
            assert np.allclose(stream.step(x.numpy()), model(x).numpy(), atol=1e-5)


def test_chunks_are_cut_along_time(tmp_path: Path) -> None:
    exported = export_onnx(Cached(), "x: float32[N, 3, T]", tmp_path / "bundle", stateful=True)
    stream = Stream(tmp_path / "bundle")
    x = np.random.default_rng(0).standard_normal((1, 3, 9)).astype(np.float32)
    whole = stream.run(x)
    stream.reset()
    assert np.allclose(np.concatenate([stream.run(x[:, :, :2]), stream.run(x[:, :, 2:])], 2), whole, atol=1e-6)
    assert exported.report is not None
    assert exported.report.passed


def test_a_mean_over_time_is_no_stream(tmp_path: Path) -> None:
    class Mean(Cached):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).mean(2, keepdim=True) + x[:, :1]

    with pytest.raises(CaptureError, match="takes a mean over T"):
        export_onnx(Mean(), "x: float32[N, 3, T]", tmp_path / "bundle", stateful=True)


def test_without_stateful_it_says_what_would_carry_it(tmp_path: Path) -> None:
    exported = export_onnx(Policy(), "x: float32[N, 4]", tmp_path / "bundle")
    assert any("stateful=True" in note for note in exported.notes)


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.gru = nn.LSTM(4, 5, 2), nn.GRU(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(self.lstm(x)[0])[0]


def test_torchscript_carries_the_states_of_layers(tmp_path: Path) -> None:
    model = Layers()
    exported = export_torchscript(model, "x: float32[T, N, 4]", tmp_path / "bundle", stateful=True)
    loaded = read_torchscript(exported.model)
    x = torch.randn(9, 3, 4)
    with torch.no_grad():
        expected = model(x)
        for _ in range(2):
            loaded.reset()
            got = torch.cat([loaded(x[:4]), loaded(x[4:5]), loaded(x[5:])])
            assert torch.allclose(got, expected, atol=1e-5)
        assert loaded.lstm_h0.shape == (2, 3, 5)
        with pytest.raises(torch.jit.Error, match="reset"):
            loaded(x[:, :1])


def test_torchscript_carries_what_the_model_keeps(tmp_path: Path) -> None:
    model = Policy()
    exported = export_torchscript(model, "x: float32[N, 4]", tmp_path / "bundle", stateful=True)
    loaded = read_torchscript(exported.model)
    with torch.no_grad():
        for x in torch.randn(5, 2, 4):
            assert torch.allclose(loaded(x), model(x), atol=1e-5)


def test_torchscript_refuses_a_decision_about_a_counter(tmp_path: Path) -> None:
    line = Ring.forward.__code__.co_firstlineno + 3
    with pytest.raises(FixedDecisionError, match=rf"fixed a decision .* at \S*{Path(__file__).name}:{line}: the file"):
        export_torchscript(Ring(), "x: float32[N, 4]", tmp_path / "bundle", stateful=True)


def test_torchscript_refuses_a_layer_of_both_directions(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="bidirectional"):
        export_torchscript(
            nn.Sequential(nn.GRU(4, 5, bidirectional=True)), "x: float32[T, N, 4]", tmp_path / "bundle", stateful=True
        )
