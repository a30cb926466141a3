"""A loop that became a `Scan` is its body in a stream's file for one step, which has no time axis to carry about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from rnn_export import Stream, export_onnx
from rnn_export.bundle.manifest import read_manifest
from rnn_export.onnx_file import all_graphs
from torch import Tensor, nn
from torch.nn import functional as F

pytestmark = pytest.mark.usefixtures("short_streams")


class Selective(nn.Module):
    """A state space whose step depends on the input, behind a causal convolution of each channel."""

    def __init__(self, size: int = 4, states: int = 3, kernel: int = 3, apart: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(size, size, kernel, groups=size, dilation=apart)
        self.reach = (kernel - 1) * apart
        self.select = nn.Linear(size, size + 2 * states)
        self.norm = nn.LayerNorm(size)
        self.log = nn.Parameter(torch.rand(size, states))
        self.split = [size, states, states]

    def forward(self, x: Tensor) -> Tensor:
        u = F.silu(self.conv(F.pad(x.transpose(1, 2), (self.reach, 0)))).transpose(1, 2)
        delta, into, out = self.select(u).split(self.split, -1)
        h = u.new_zeros(u.size(0), *self.log.shape)
        y = []
        for t in range(u.size(1)):
            step = F.softplus(delta[:, t]).unsqueeze(-1)
            h = torch.exp(-step * self.log) * h + step * u[:, t].unsqueeze(-1) * into[:, t].unsqueeze(1)
            y.append((h * out[:, t].unsqueeze(1)).sum(-1))
        return self.norm(torch.stack(y, 1)) * torch.sigmoid(x)


class Mixing(nn.Module):
    """Heads, a softmax over them, convolutions of all channels with and without a window, over time in front."""

    def __init__(self, size: int = 4, apart: int = 2) -> None:
        super().__init__()
        self.wide = nn.Conv1d(size, 6, 3, dilation=apart)
        self.narrow = nn.Conv1d(6, size, 1, bias=False)
        self.apart = apart

    def forward(self, x: Tensor) -> Tensor:
        T, N, size = x.shape
        wide = torch.tanh(self.wide(F.pad(x.permute(1, 2, 0), (2 * self.apart, 0))))
        heads = self.narrow(wide).permute(2, 0, 1).reshape(T, N, 2, size // 2).softmax(-1)
        h = x.new_zeros(N, 2, size // 2)
        y = []
        for step in heads:
            h = 0.5 * h + step
            y.append(h)
        kept = torch.stack(y).flatten(2)
        return torch.cat([kept.mean(-1, keepdim=True), torch.where(x > 0, kept, x), kept[..., 1:3]], -1)


class Delayed(nn.Module):
    """Gives what came before: a step returns its input as the state, and the state as its output."""

    def forward(self, x: Tensor) -> Tensor:
        before = torch.zeros_like(x[:, 0])
        y = []
        for t in range(x.size(1)):
            y.append(before)
            before = x[:, t]
        return torch.stack(y, 1)


class Counted(nn.Module):
    """A weighted sum, kept as it is and given out too, beside an LSTM with a projection, and a layer over features."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 5, proj_size=4, batch_first=True)
        self.inner = nn.RNN(1, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        N, T, size = x.shape
        bands = self.inner(x.reshape(N * T, size, 1))[0][:, -1].reshape(N, T, 3)
        total = x.new_zeros(N, size)
        y = []
        for t in range(T):
            total = 0.9 * total + x[:, t]
            y.append(total)
        return torch.cat([self.lstm(torch.stack(y, 1))[0], bands], -1)


def export(model: nn.Module, out: Path, dims: str = "N, T", **options: object) -> Path:
    torch.manual_seed(0)
    exported = export_onnx(model.eval(), {"x": f"float32[{dims}, 4]"}, out, stateful=True, **options)  # type: ignore[arg-type]
    assert exported.report is None or exported.report.passed
    return out


def step_of(bundle: Path, folder: Path) -> list[str]:
    """What ONNX Runtime runs where it is told that T is 1."""
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_name("T", 1)
    options.optimized_model_filepath = str(folder / "left.onnx")
    onnxruntime.InferenceSession(bundle / "model.onnx", options)
    graph = onnx.load(folder / "left.onnx").graph
    return [node.op_type for each in all_graphs(graph) for node in each.node]


@pytest.mark.parametrize(
    ("model", "dims"),
    [
        (Selective(), "N, T"),
        (Selective(apart=3, kernel=2), "N, T"),
        (Mixing(), "T, N"),
        (Mixing(apart=1), "T, N"),
        (Delayed(), "N, T"),
    ],
    ids=["selective", "dilated", "mixing", "mixing-dense", "delayed"],
)
def test_one_step_is_right_and_has_no_loop(model: nn.Module, dims: str, tmp_path: Path) -> None:
    left = step_of(export(model, tmp_path / "bundle", dims), tmp_path)
    assert not {"If", "Scan", "Loop", "Conv", "Transpose"} & {*left}
    assert read_manifest(tmp_path / "bundle").artifacts["model.onnx"].unrolls


def test_a_loop_beside_layers_and_within_a_step(tmp_path: Path) -> None:
    left = step_of(export(Counted(), tmp_path / "bundle"), tmp_path)
    assert left.count("Scan") == 1  # the layer that runs over the features of one step
    assert "If" not in left


def test_chunks_and_steps_agree(tmp_path: Path) -> None:
    stream = Stream(export(Selective(), tmp_path / "bundle"), sizes={"N": 2})
    x = np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32)
    steps = np.stack([stream.step(x[:, t]) for t in range(6)], 1)
    stream.reset()
    np.testing.assert_allclose(stream.run(x), steps, rtol=0, atol=1e-6)


def test_products_that_are_written_elementwise_are_products(tmp_path: Path) -> None:
    left = step_of(export(Selective(), tmp_path / "bundle"), tmp_path)
    assert (
        sum(name in ("MatMul", "Gemm", "FusedGemm") for name in left) == 5
    )  # three of `select`, into the state and out of it
    assert "CausalConvWithState" in left


def test_the_form_can_be_chosen(tmp_path: Path) -> None:
    plain = export(Selective(), tmp_path / "plain", lowering="scan")
    assert not read_manifest(plain).artifacts["model.onnx"].unrolls
    assert "Scan" in step_of(plain, tmp_path)
    tuned = export(Selective(), tmp_path / "tuned", tune=[{"T": 1, "N": 1}])
    choice = read_manifest(tuned).artifacts["model.onnx"].lowering
    assert choice is not None
    convolutions, loops = ("causal_convolution contrib", "causal_convolution native"), ("loop scan", "loop step")
    assert {*choice.tuned[0].milliseconds} == {f"{one}, {other}" for one in convolutions for other in loops}


def test_no_graph_for_one_step_where_a_chunk_is_two(tmp_path: Path) -> None:
    class Strided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 4, 2, stride=2)
            self.rnn = nn.RNN(4, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]

    bundle = export(Strided(), tmp_path / "bundle")
    stream = Stream(bundle)
    whole = stream.run(np.ones((1, 6, 4), np.float32))
    stream.reset()
    parts = [stream.run(np.ones((1, 2, 4), np.float32)) for _ in range(3)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, rtol=0, atol=1e-6)


class Thresholds(nn.Module):
    """A running mean whose rate is a softplus, which PyTorch computes up to a threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        h, y = torch.zeros_like(x[:, 0]), []
        for t in range(x.size(1)):
            h = torch.tanh(h + F.softplus(x[:, t] + h, threshold=self.threshold))
            y.append(h)
        return torch.stack(y, 1)


@pytest.mark.parametrize(("threshold", "many"), [(20.0, 0), (2.0, 1)])
def test_a_threshold_that_changes_nothing_is_left_out(threshold: float, many: int, tmp_path: Path) -> None:
    exported = export_onnx(Thresholds(threshold), {"x": "float32[N, T, 3]"}, tmp_path / "bundle", stateful=True)
    graphs = {graph.name: graph for graph in all_graphs(onnx.load(exported.model).graph)}
    assert sum(node.op_type == "Where" for node in graphs["one_step"].node) == many
    x = np.linspace(-40, 40, 60, dtype=np.float32).reshape(1, 20, 3)
    stream = Stream(exported.folder)
    with torch.inference_mode():
        wanted = Thresholds(threshold)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(np.stack([stream.step(x[:, t]) for t in range(20)], 1), wanted, atol=1e-6)
