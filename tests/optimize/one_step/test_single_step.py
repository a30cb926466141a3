"""A stream's file runs one step without a loop, and any other number as before, on the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from rnn_export import Signature, Stream, export_onnx
from rnn_export.models.deep import DeepRNN
from rnn_export.onnx_file import all_graphs
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")


class Mixed(nn.Module):
    """Layers with and without a loop; x float32[T, N, 3] comes out too, and a layer that no time step leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = nn.RNN(1, 2, batch_first=True)
        self.rnn = nn.RNN(3, 4, 2, nonlinearity="relu")
        self.gru = nn.GRU(4, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        T, N, bands = x.shape
        inner = self.bands(x.reshape(T * N, bands, 1))[1].reshape(T, N, 2)
        y, h_n = self.rnn(x)
        return torch.cat([self.gru(y)[0], inner], -1), x, h_n[-1], y


def export(model: nn.Module, out: Path, outputs: tuple[str, ...] = (), **options: object) -> Path:
    torch.manual_seed(0)
    signature = Signature({"x": "float32[T, N, 3]"}, outputs)
    report = export_onnx(model.eval(), signature, out, stateful=True, **options).report  # type: ignore[arg-type]
    assert report is None or report.passed
    return out


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Mixed(), tmp_path_factory.mktemp("step") / "mixed", ("joined", "same", "last", "y"))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for graph in all_graphs(model.graph) for node in graph.node]


def folded(bundle: Path, out: Path) -> list[str]:
    """What ONNX Runtime runs where it is told that T is 1."""
    options = onnxruntime.SessionOptions()
    options.add_free_dimension_override_by_name("T", 1)
    options.optimized_model_filepath = str(out)
    onnxruntime.InferenceSession(bundle / "model.onnx", options)
    return operators(onnx.load(out))


def test_a_step_is_products_without_loop_or_branch(tmp_path: Path) -> None:
    export(DeepRNN(3, 4, 3), tmp_path / "deep")
    left = folded(tmp_path / "deep", tmp_path / "left.onnx")
    assert sum(name in ("Gemm", "FusedGemm") for name in left) == 6
    assert not {"If", "Scan", "MatMul", "RNN", "Shape", "Reshape"} & {*left}


def test_only_loops_over_time_are_unrolled(mixed: Path, tmp_path: Path) -> None:
    left = folded(mixed, tmp_path / "left.onnx")
    assert "If" not in left
    assert left.count("Scan") == 1
    assert left.count("GRU") == 1


def test_weights_are_in_the_file_once(mixed: Path) -> None:
    graphs = [*all_graphs(onnx.load(mixed / "model.onnx").graph)]
    sizes = [np.prod(tensor.dims) for graph in graphs for tensor in graph.initializer if tensor.data_type == 1]
    assert sum(sizes) <= sum(weight.numel() for weight in Mixed().parameters())


def test_steps_chunks_and_a_session_of_the_users_own_agree(mixed: Path) -> None:
    x = np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32)
    stream = Stream(mixed, sizes={"N": 2})
    own = Stream(mixed, sizes={"N": 2}, options=onnxruntime.SessionOptions())
    steps = [stream.step(step) for step in x]
    ends = stream.states
    for other in (stream, stream.another(), own):
        other.reset()
        whole = other.run(x)
        for name in ("joined", "same", "y"):
            np.testing.assert_allclose(whole[name], [step[name] for step in steps], rtol=0, atol=1e-6)
        for name, state in other.states.items():
            np.testing.assert_allclose(state, ends[name], rtol=0, atol=1e-6)
    np.testing.assert_allclose(own.step(x[0])["y"], stream.step(x[0])["y"], rtol=0, atol=1e-6)


def test_a_model_for_another_runtime_has_no_branch(tmp_path: Path) -> None:
    for target in ("portable", "web", "openvino"):
        model = onnx.load(export(DeepRNN(3, 4), tmp_path / target, target=target, verify=False) / "model.onnx")
        assert "If" not in operators(model)
