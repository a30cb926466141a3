"""Attention to earlier steps in chunks: keys and values are states, of a window's length or as long as all steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import masked_attention_models as models
import numpy as np
import pytest
import torch
from masked_attention_models import Heads, behind
from rnn_export import CaptureError, Stream, export_onnx, read_bundle
from rnn_export.spec.streams import OutputTiming, StreamSpec
from torch import Tensor, nn
from torch.nn import functional as F

pytestmark = pytest.mark.usefixtures("short_streams")

ROWS = "float32[N, T, 6]"


def stream_of(model: nn.Module, out: Path) -> StreamSpec:
    """Export, which verifies it in many chunkings, and read how the file is fed."""
    torch.manual_seed(0)
    assert export_onnx(model, {"x": ROWS}, out, stateful=True).report.passed
    stream = read_bundle(out).artifacts["model.onnx"].stream
    assert stream is not None
    return stream


WINDOWS: list[tuple[type[nn.Module], dict[str, tuple[Any, ...]]]] = [
    (models.Triangles, {"stream.v0": ("N", 2, 2, 3), "stream.k0": ("N", 2, 3, 2), "stream.known0": ("N", 1, 1, 2)}),
    (models.Slopes, {"stream.v0": ("N", 2, 6, 3), "stream.k0": ("N", 2, 3, 6), "stream.known0": ("N", 1, 1, 6)}),
    (models.Sums, {"stream.v0": ("N", 2, 6), "stream.k0": ("N", 1, 2, 4), "stream.known0": ("N", 1, 2)}),
    (models.Prefixed, {"stream.v0": ("N", 2, 3, 3), "stream.k0": ("N", 2, 3, 3), "stream.known0": ("N", 1, 1, 3)}),
]


@pytest.mark.parametrize(("model", "states"), WINDOWS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_window_is_kept(model: type[nn.Module], states: dict[str, tuple[Any, ...]], tmp_path: Path) -> None:
    stream = stream_of(model(), tmp_path / "out")
    assert {state.name: state.shape for state in stream.states} == states
    assert stream.grows == ""


def test_positions_are_counted_beside_a_window(tmp_path: Path) -> None:
    stream = stream_of(models.Band(), tmp_path / "out")
    assert {state.shape[-2:] for state in stream.states if ".v" in state.name} == {(3, 3)}
    assert "stream.steps0" in stream.entries


LATE: list[tuple[type[nn.Module], int, OutputTiming]] = [
    (models.Ahead, 1, OutputTiming(2)),
    (models.AfterConv, 1, OutputTiming(1)),
    (models.LateCausal, 1, OutputTiming(1)),
    (models.Strided, 2, OutputTiming(0, 0, 1)),
]


@pytest.mark.parametrize(("model", "multiple", "timing"), LATE, ids=lambda value: getattr(value, "__name__", ""))
def test_multiples_and_delays(model: type[nn.Module], multiple: int, timing: OutputTiming, tmp_path: Path) -> None:
    stream = stream_of(model(), tmp_path / "out")
    assert stream.multiple == multiple
    assert list(stream.timings.values()) == [timing]


GROWING = [models.Causal, models.Buckets, models.ByHand, models.Library]


@pytest.mark.parametrize("model", GROWING)
def test_all_steps_are_kept(model: type[nn.Module], tmp_path: Path) -> None:
    stream = stream_of(model(), tmp_path / "out")
    assert stream.grows == "P"
    assert [state.shape.count("P") for state in stream.states] == [1] * len(stream.states)


def test_without_a_softmax_the_state_is_that_of_linear_attention(tmp_path: Path) -> None:
    stream = stream_of(models.Linear(), tmp_path / "out")
    assert stream.masked
    assert not stream.grows
    assert len(stream.states) == 1


def test_a_window_beside_what_grows(tmp_path: Path) -> None:
    stream = stream_of(models.Alternating(), tmp_path / "out")
    assert {state.name.partition(".")[0] for state in stream.states if state.grows} == {"far"}


def test_a_stream_in_python_grows_and_begins_anew(tmp_path: Path) -> None:
    model = models.Causal()
    stream_of(model, tmp_path / "out")
    stream = Stream(tmp_path / "out", sizes={"N": 2})
    x = np.random.default_rng(0).standard_normal((2, 7, 6)).astype(np.float32)
    with torch.no_grad():
        whole = model(torch.from_numpy(x)).numpy()
    for _ in range(2):
        parts = [stream.step(x[:, 0])[:, None], stream.run(x[:, 1:5]), stream.run(x[:, 5:])]
        np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-5)
        assert {7} == {size for state in stream.states.values() for size in state.shape if size > 6}
        stream.reset()


def test_one_sequence_of_a_window_begins_anew(tmp_path: Path) -> None:
    model = models.Triangles()
    stream_of(model, tmp_path / "out")
    stream = Stream(tmp_path / "out", sizes={"N": 2})
    x = np.random.default_rng(0).standard_normal((2, 6, 6)).astype(np.float32)
    stream.run(x[:, :3])
    stream.reset(rows=[1])
    got = stream.run(x[:, 3:])
    with torch.no_grad():
        both = [model(torch.from_numpy(x))[0, 3:].numpy(), model(torch.from_numpy(x[:, 3:]))[1].numpy()]
    np.testing.assert_allclose(got, both, atol=1e-5)


def test_a_table_of_a_mask_ends(tmp_path: Path) -> None:
    """The longest case has 300 steps, as the buffer."""
    assert stream_of(models.Buffer(), tmp_path / "out").grows == "P"


class Everything(Heads):
    def forward(self, x: Tensor) -> Tensor:
        return self.join(F.scaled_dot_product_attention(*self.split(x)))


class Future(Heads):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        return self.join((q @ k.mT).masked_fill(behind(x.size(1)) > 0, float("-inf")).softmax(-1) @ v)


class OverQueries(Heads):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        return self.join((q @ k.mT).softmax(-2).tril() @ v)


class Slope(Heads):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        d = behind(x.size(1))
        return self.join((q @ k.mT - 0.1 * d).masked_fill(d < 0, float("-inf")).softmax(-1) @ v)


class Means(Heads):
    def forward(self, x: Tensor) -> Tensor:
        weights = torch.ones(x.size(1), x.size(1)).tril()
        return weights / weights.sum(1, keepdim=True) @ x


class Shown(Heads):
    def forward(self, x: Tensor) -> Tensor:
        q, k, _ = self.split(x)
        return (q @ k.mT).masked_fill(behind(x.size(1)) < 0, float("-inf")).softmax(-1)


class Huge(Heads):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        d = behind(x.size(1))
        return self.join((q @ k.mT).masked_fill((d < 0) | (d > 9000), float("-inf")).softmax(-1) @ v)


class Octaves(Heads):
    """A bias that changes again where steps are four times as far apart."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        d = behind(x.size(1))
        bias = (d.clamp(min=1).float().log2() / 2).floor()
        return self.join((q @ k.mT + bias.masked_fill(d < 0, float("-inf"))).softmax(-1) @ v)


class Blocks(Heads):
    """A window of 60 blocks, whose end comes after all steps that tables are run at."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        d = behind(x.size(1))
        return self.join((q @ k.mT).masked_fill((d < 0) | (d // 64 >= 60), float("-inf")).softmax(-1) @ v)


class StridedCausal(Heads):
    def forward(self, x: Tensor) -> Tensor:
        return self.join(F.scaled_dot_product_attention(*self.split(x[:, ::2]), is_causal=True))


class Accumulated(Heads):
    """Sums down the rows of a table, of which a chunk has a part."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.split(x)
        return self.join((q @ k.mT).cumsum(-2).tril() @ v)


class Scrambled(Heads):
    """Heads and steps change places without their elements."""

    def forward(self, x: Tensor) -> Tensor:
        q, k, _ = self.split(x)
        N, H, T, _ = q.shape
        scores = (q @ k.mT).tril().reshape(N, T, H, T)
        return (scores @ x[:, :, None].transpose(1, 2)).sum(2)


AT = r"at .*test_attention_streams\.py:\d+"
REFUSED: list[tuple[type[nn.Module], str]] = [
    (Everything, rf"MatMul {AT} multiplies every step by every other, as attention does"),
    (Future, rf"MatMul {AT} multiplies every step by every other, as attention does"),
    (OverQueries, rf"MatMul {AT} takes a softmax over the steps that look back"),
    (Slope, rf"MatMul {AT} reads a table that goes on changing, however far apart two steps are"),
    (Octaves, rf"MatMul {AT} reads a table that goes on changing, however far apart two steps are"),
    (Blocks, rf"MatMul {AT} reads a table that goes on changing, however far apart two steps are"),
    (Means, rf"MatMul {AT} reads a table of every step by every other that is not the same for the same distance"),
    (Shown, r"output 'output' is a table of every step by every other"),
    (Huge, rf"MatMul {AT} reads a table of every step by every other, made with a number of more than 8192"),
    (Accumulated, rf"CumSum {AT} mixes steps along T"),
    (Scrambled, rf"Reshape {AT} mixes steps along T"),
    (StridedCausal, r"MatMul at .* looks back at all steps of a sequence that has not one for each of T"),
]


@pytest.mark.parametrize(("model", "why"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_refusals_name_the_operator_and_the_line(model: type[nn.Module], why: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=why):
        export_onnx(model(), {"x": ROWS}, tmp_path / "out", stateful=True, verify=False)
