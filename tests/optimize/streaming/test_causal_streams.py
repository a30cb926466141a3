"""What a causal model remembers becomes states: their names and shapes, multiples of steps, delays, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import causal_models as models
import numpy as np
import pytest
import torch
from rnn_export import CaptureError, InputError, Signature, Stream, export_onnx, read_bundle
from rnn_export.spec.streams import OutputTiming, StreamSpec
from torch import Tensor, nn
from torch.nn import functional as F

pytestmark = pytest.mark.usefixtures("short_streams")

ROWS, CHANNELS = models.ROWS, models.CHANNELS


def stream_of(model: nn.Module, x: str, out: Path) -> StreamSpec:
    """Export, which verifies it in many chunkings, and read how the file is fed."""
    torch.manual_seed(0)
    assert export_onnx(model, {"x": x}, out, stateful=True).report.passed
    stream = read_bundle(out).artifacts["model.onnx"].stream
    assert stream is not None
    return stream


STATES: list[tuple[type[nn.Module], str, dict[str, tuple[Any, ...]]]] = [
    (models.Padded, ROWS, {"conv.x0": ("N", 3, 4), "rnn.h0": (1, "N", 5)}),
    (models.Chomped, CHANNELS, {"conv.x0": ("N", 3, 3)}),
    (models.Bands, "float32[N, 1, 5, T]", {"conv.x0": ("N", 1, 5, 2)}),
    (models.Positions, "float32[N, T, 4]", {"stream.steps0": (1,)}),
    (models.AfterPrefix, ROWS, {"rnn.h0": (1, "N", 3), "rnn.c0": (1, "N", 3)}),
    (models.Loop, CHANNELS, {"conv.x0": ("N", 3, 1), "cell.h0": ("N", 4)}),
    (models.Last, CHANNELS, {"conv.x0": ("N", 3, 2)}),
    (
        models.FirstAgain,
        CHANNELS,
        {
            "first.x0": ("N", 3, 2),
            "first.known0": ("N", 1, 1),
            "second.x0": ("N", 3, 4),
            "second.known0": ("N", 1, 1),
        },
    ),
]


@pytest.mark.parametrize(("model", "x", "states"), STATES, ids=lambda value: getattr(value, "__name__", ""))
def test_states(model: type[nn.Module], x: str, states: dict[str, tuple[Any, ...]], tmp_path: Path) -> None:
    stream = stream_of(model(), x, tmp_path / "out")
    assert {state.name: state.shape for state in stream.states} == states
    assert (stream.multiple, stream.timings) == (1, {})


@pytest.mark.parametrize("model", [models.Shifted, models.Windows, models.Sums])
def test_shifts_windows_and_sums(model: type[nn.Module], tmp_path: Path) -> None:
    assert stream_of(model(), ROWS, tmp_path / "out").timings == {}


def test_a_prefix_is_in_the_reset(tmp_path: Path) -> None:
    model = models.AfterPrefix()
    stream = stream_of(model, ROWS, tmp_path / "out")
    with torch.no_grad():
        _, (h, c) = model.rnn(model.conv.bias.expand(1, 2, -1))
    resets = {state.name: np.array(state.reset, np.float32) for state in stream.states}
    np.testing.assert_allclose(resets["rnn.h0"], h.flatten().numpy(), rtol=1e-5)
    np.testing.assert_allclose(resets["rnn.c0"], c.flatten().numpy(), rtol=1e-5)


TIMINGS: list[tuple[type[nn.Module], str, int, OutputTiming]] = [
    (models.Ahead, ROWS, 1, OutputTiming(2)),
    (models.Centered, CHANNELS, 1, OutputTiming(3)),
    (models.Valid, CHANNELS, 1, OutputTiming(4, -4)),
    (models.Strided, CHANNELS, 4, OutputTiming(0, 0, 4)),
    (models.Frames, "float32[N, T]", 4, OutputTiming(4, 0, 4)),
    (models.Counted, CHANNELS, 1, OutputTiming(1)),
    (models.Repeated, CHANNELS, 1, OutputTiming(0, 0, 2)),
    (models.Neighbours, CHANNELS, 2, OutputTiming(0, 0, 2)),
    (models.Stacked, ROWS, 2, OutputTiming(0, 0, 1)),
]


@pytest.mark.parametrize(
    ("model", "x", "multiple", "timing"), TIMINGS, ids=lambda value: getattr(value, "__name__", "")
)
def test_multiples_and_delays(
    model: type[nn.Module], x: str, multiple: int, timing: OutputTiming, tmp_path: Path
) -> None:
    stream = stream_of(model(), x, tmp_path / "out")
    assert (stream.multiple, stream.timings) == (multiple, {"output": timing})


def test_a_stream_in_python_is_late_by_its_delay(tmp_path: Path) -> None:
    model = models.Centered()
    stream_of(model, CHANNELS, tmp_path / "out")
    stream = Stream(tmp_path / "out", sizes={"N": 2})
    x = np.random.default_rng(0).standard_normal((2, 3, 9)).astype(np.float32)
    got = np.stack([stream.step(step) for step in x.transpose(2, 0, 1)], 2)
    late = stream.delays["output"]
    whole = model(torch.from_numpy(x)).detach().numpy()
    assert (stream.multiple, late) == (1, 3)
    np.testing.assert_allclose(got[..., late:], whole[..., :-late], atol=1e-6)


class Cached(nn.Module):
    """Takes and returns what its convolution remembers, and hides another's."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Conv1d(3, 4, 3)
        self.hidden = nn.Conv1d(4, 4, 2)

    def forward(self, x: Tensor, c0: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat([c0, x], 2)
        return self.hidden(F.pad(self.own(joined), (1, 0))), joined[:, :, -2:]


def test_a_state_that_the_model_joins_with_a_chunk_is_its_own(tmp_path: Path) -> None:
    signature = Signature({"x": CHANNELS, "c0": "float32[N, 3, 2]"}, ["y", "c_n"])
    torch.manual_seed(0)
    export_onnx(Cached(), signature, tmp_path / "out", stateful=True)
    stream = read_bundle(tmp_path / "out").artifacts["model.onnx"].stream
    assert [state.name for state in stream.states] == ["c0", "hidden.x0"]


def test_a_stream_in_python_takes_multiples(tmp_path: Path) -> None:
    model = models.Strided()
    stream_of(model, CHANNELS, tmp_path / "out")
    stream = Stream(tmp_path / "out")
    x = np.random.default_rng(0).standard_normal((1, 3, 24)).astype(np.float32)
    parts = [stream.step(x[..., :4]), stream.run(x[..., 4:16]), stream.step(x[..., 16:20]), stream.run(x[..., 20:])]
    whole = model(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(np.concatenate(parts, 2), whole, atol=1e-5)
    with pytest.raises(InputError, match=r"The chunk has 6 steps, and the model takes a multiple of 4\."):
        stream.run(x[..., :6])


def test_rows_that_share_a_position_are_reset_together(tmp_path: Path) -> None:
    stream_of(models.Positions(), "float32[N, T, 4]", tmp_path / "out")
    stream = Stream(tmp_path / "out", sizes={"N": 2})
    with pytest.raises(InputError, match="no one dynamic dimension in common"):
        stream.reset(rows=[0])


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.softmax(1)


class Attention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.transpose(1, 2)).softmax(-1) @ x


class Flipped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.flip(1)


class Share(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.cumsum(1) / x.size(1)


class Ends(nn.Module):
    """The last step, of what looks ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2))[:, :, -1]


class Mirrored(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool1d(F.pad(x.mT, (2, 0), mode="reflect"), 3, 1)


REFUSED: list[tuple[type[nn.Module], str]] = [
    (Mean, r"ReduceMean at .*test_causal_streams\.py:\d+ takes a mean over T"),
    (Softmax, r"Softmax at .*test_causal_streams\.py:\d+ takes a softmax over T"),
    (Attention, r"MatMul at .*test_causal_streams\.py:\d+ multiplies every step by every other"),
    (Flipped, r"at .*test_causal_streams\.py:\d+ turns the sequence round"),
    (Mirrored, r"Pad at .*test_causal_streams\.py:\d+ pads the beginning with later steps"),
    (Share, r"Div at .*test_causal_streams\.py:\d+ computes with the number of steps of the whole sequence"),
    (Ends, r"at .*test_causal_streams\.py:\d+ reads the last step, which depends on what the sequence is padded with"),
]


@pytest.mark.parametrize(("model", "why"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_refusals_name_the_operator_and_the_line(model: type[nn.Module], why: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=why):
        export_onnx(model(), {"x": ROWS}, tmp_path / "out", stateful=True, verify=False)


def test_beyond_the_end_of_a_table_a_stream_raises(tmp_path: Path) -> None:
    """With one row left, which would fit any chunk, and with none, on which ONNX Runtime's GRU ends the process."""

    class Placed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.rnn = nn.Parameter(torch.randn(50, 4)), nn.GRU(4, 3, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x + self.table[: x.size(1)])[0]

    stream_of(Placed(), "float32[N, T, 4]", tmp_path / "out")
    for steps in (49, 50):
        stream = Stream(tmp_path / "out")
        stream.run(np.zeros((1, steps, 4), np.float32))
        with pytest.raises(InputError, match="out of data bounds"):
            stream.run(np.zeros((1, 3 if steps == 49 else 1, 4), np.float32))
