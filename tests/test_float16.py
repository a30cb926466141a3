"""float16: the model that `half()` makes, proved as what it is, and what that costs beside the model in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from click.testing import CliRunner
from conftest import SMALL
from rnn_export import Signature, export_onnx, export_torchscript, load, read_bundle, verify
from rnn_export.cli.main import main
from rnn_export.errors import InputError, LoadError, ParityError, RnnExportError
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")

X = Signature({"x": "float32[T, N, 20]"}, ["output", "h_n"])


@pytest.mark.parametrize("name", ["hetero", "scratch", "tagger", "classifier", "initial_state"])
def test_a_built_in_model(name: str, tmp_path: Path) -> None:
    loaded = load(name, **SMALL[name], seed=0)
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "b", precision="float16", source=loaded.source)
    assert exported.report is not None
    assert exported.report.passed
    manifest = read_bundle(tmp_path / "b")
    taken = {spec.dtype for spec in manifest.signature.inputs.values()}
    assert "float32" not in taken
    precision = manifest.artifacts["model.onnx"].precision
    assert precision is not None
    assert precision.error is not None
    assert precision.weights == "float16"
    assert 0 < max(error.relative for error in precision.error.values()) <= precision.bound
    assert next(loaded.model.parameters()).dtype == torch.float32


def test_the_bundle_is_verified_afresh(tmp_path: Path) -> None:
    loaded = load("single", seed=0, cell="gru")
    for export in (export_onnx, export_torchscript):
        export(loaded.model, loaded.signature, tmp_path / "b", precision="float16", source=loaded.source)
    found = verify(tmp_path / "b", seed=1)
    assert found.how == "rebuilt"
    assert [report.passed for report in found.reports] == [True, True]
    assert all(report.weights is not None and report.weights.equal == 4 for report in found.reports)


def test_the_file_takes_and_gives_float16(tmp_path: Path) -> None:
    export_onnx(nn.LSTM(20, 8), Signature({"x": "float32[T, N, 20]"}), tmp_path / "b", precision="float16")
    graph = onnx.load(tmp_path / "b" / "model.onnx").graph
    types = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert types == {onnx.TensorProto.FLOAT16}
    assert {tensor.data_type for tensor in graph.initializer} <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.INT64}


def test_a_stream_carries_float16_states(tmp_path: Path) -> None:
    report = export_onnx(nn.GRU(20, 8), X, tmp_path / "b", precision="float16", stateful=True).report
    assert report is not None
    assert report.passed
    stream = read_bundle(tmp_path / "b").artifacts["model.onnx"].stream
    assert stream is not None
    assert {state.dtype for state in stream.states} == {"float16"}


def test_an_example_is_rounded(tmp_path: Path) -> None:
    example = {"x": np.random.default_rng(0).standard_normal((7, 3, 20), np.float32)}
    report = export_onnx(nn.GRU(20, 8), X, tmp_path / "b", precision="float16", example=example).report
    assert report is not None
    assert report.passed
    stored = safetensors.numpy.load_file(tmp_path / "b" / "cases.safetensors")["ordinary-T7-N3/inputs/x"]
    assert np.array_equal(stored, example["x"].astype(np.float16))


def test_what_it_costs_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="The float16 file, beside the float32 model, in onnxruntime:cpu"):
        export_onnx(nn.GRU(20, 32), X, tmp_path / "b", precision="float16", max_error=1e-6)
    assert not (tmp_path / "b").exists()


class Sensitive(nn.Module):
    """A model that float16 is not enough for: the difference of two numbers that are nearly equal."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(20, 8)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x)[0]
        return (output + 1000) - 1000


def test_a_model_that_loses_too_much_is_refused_although_it_is_as_right_as_pytorch_in_float16(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="The model in float16, beside itself in float32, in PyTorch"):
        export_onnx(Sensitive(), Signature({"x": "float32[T, N, 20]"}, ["y"]), tmp_path / "b", precision="float16")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"precision": "float16", "quantize": "int8"}, "cannot be int8 and float16 at once"),
        ({"precision": "bfloat16"}, "no RNN, GRU or LSTM with bfloat16"),
        ({"precision": "float17"}, "There is no precision 'float17'. Did you mean 'float16'?"),
        ({"max_error": 0.1}, 'Give `precision="float16"` too, or for ONNX'),
    ],
)
def test_what_cannot_be_asked_for(asked: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        export_onnx(nn.GRU(20, 8), X, tmp_path / "b", **asked)  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_a_model_without_float32_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no float32 weights"):
        export_onnx(nn.GRU(20, 8).half(), Signature({"x": "float16[T, N, 20]"}), tmp_path / "b", precision="float16")


class NamesFloat32(nn.Module):
    """A model that makes float32 tensors in its forward, whatever its weights are."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(20, 8)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x, torch.zeros(1, x.shape[1], 8, dtype=torch.float32))[0]
        return output


def test_a_model_that_cannot_be_float16_says_so(tmp_path: Path) -> None:
    with pytest.raises(RnnExportError, match="float16|Half|dtype"):
        export_onnx(NamesFloat32(), Signature({"x": "float32[T, N, 20]"}), tmp_path / "b", precision="float16")


class Fresh(nn.Module):
    """Its first state is float32, whatever the input is."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x, torch.zeros(x.size(0), 4))


def test_a_model_that_makes_float32_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        LoadError, match=r"must have the same dtype.*Where forward makes a tensor, make it like an input"
    ):
        export_onnx(Fresh(), Signature({"x": "float32[N, 3]"}), tmp_path / "b", precision="float16")


def test_the_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        main, ["onnx", "--model", "single", "--precision", "float16", "--out", str(tmp_path / "b")]
    )
    assert run.exit_code == 0, run.output
    assert "float16 weights: output is off from float64 by at most" in run.output
