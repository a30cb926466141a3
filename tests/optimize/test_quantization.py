"""int8 weights: right within the bound, a quarter of the size, and faults still caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from combinations import each_value
from numpy.typing import NDArray
from onnx import numpy_helper
from rnn_export import InternalError, ParityError, Signature, export_onnx, verify
from rnn_export.bundle.manifest import read_manifest
from rnn_export.cli.main import main
from rnn_export.errors import InputError
from rnn_export.lowering.steps import STEPS
from rnn_export.onnx_file import all_nodes
from rnn_export.optimize import quantization
from rnn_export.optimize.quantization import Quantized, quantize_channels
from rnn_export.publish.inspect import inspect
from rnn_export.pytorch.load import load
from rnn_export.spec.options import BOUNDS
from torch import nn

pytestmark = pytest.mark.usefixtures("short_streams")

X = Signature({"x": "float32[T, N, 20]"})
LAYERS = {
    "tanh": lambda: nn.RNN(20, 32, 2),
    "relu": lambda: nn.RNN(20, 32, nonlinearity="relu"),
    "gru": lambda: nn.GRU(20, 32, bidirectional=True),
    "lstm": lambda: nn.LSTM(20, 32, 2, bidirectional=True),
    "projected": lambda: nn.LSTM(20, 32, proj_size=16),
}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("stateful", [False, True], ids=["whole", "stateful"])
def test_within_the_bound(tmp_path, layer, stateful):
    model = LAYERS[layer]()
    if stateful and getattr(model, "bidirectional", False):
        model = type(model)(20, 32)
    exported = export_onnx(model, X, tmp_path / "b", quantize="int8", stateful=stateful)
    assert exported.report.passed
    precision = read_manifest(tmp_path / "b").artifacts["model.onnx"].precision
    assert precision.bound == BOUNDS["int8"]
    assert all(0 < error.relative <= precision.bound for error in precision.error.values())
    assert verify(tmp_path / "b").passed


@pytest.mark.parametrize("variant", ["scratch", "hetero", "initial_state"])
def test_variants(tmp_path, variant):
    loaded = load(variant)
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "b", quantize="int8", source=loaded.source)
    assert exported.report.passed
    assert verify(tmp_path / "b").how == "rebuilt"


def test_what_int8_cannot_hold_is_refused(tmp_path):
    loaded = load("layernorm_lstm")
    with pytest.raises(ParityError, match="times the limit"):
        export_onnx(loaded.model, loaded.signature, tmp_path / "b", quantize="int8")


class FromScratch(nn.Module):
    """tanh(x W + h U + b) in a Python loop (Elman 1990)."""

    def __init__(self):
        super().__init__()
        self.w, self.u = nn.Linear(20, 32), nn.Linear(32, 32, bias=False)

    def forward(self, x):
        h, outputs = x.new_zeros(x.size(1), 32), []
        for t in range(x.size(0)):
            h = torch.tanh(self.w(x[t]) + self.u(h))
            outputs.append(h)
        return torch.stack(outputs)


class CellInALoop(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(20, 32)

    def forward(self, x):
        h = c = x.new_zeros(x.size(1), 32)
        outputs = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], (h, c))
            outputs.append(h)
        return torch.stack(outputs)


# The LSTM's matrices are parted by gates.
@pytest.mark.parametrize(("model", "products"), [(FromScratch, 1), (CellInALoop, 4)])
def test_a_loop_in_python_multiplies_its_input_once(tmp_path, model, products):
    exported = export_onnx(model(), X, tmp_path / "b", quantize="int8")
    assert exported.report.passed
    graph = onnx.load(tmp_path / "b" / "model.onnx").graph
    (scan,) = [node for node in graph.node if node.op_type == "Scan"]
    body = next(attribute.g for attribute in scan.attribute if attribute.name == "body")
    for nodes in (graph.node, body.node):
        kinds = [node.op_type for node in nodes]
        assert kinds.count("MatMulInteger") == products
        assert not {"MatMul", "Gemm"} & {*kinds}
    quantized = [(node.input[0], *node.output) for node in graph.node if node.op_type == "DynamicQuantizeLinear"]
    assert {given for given, *_ in quantized} == {"x"}
    read = {name for node in body.node for name in node.input}
    assert not read & {"x", *(name for _, *names in quantized for name in names)}


class Packed(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn = kind(20, 32, batch_first=True)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_lengths(tmp_path, kind):
    signature = Signature({"x": "float32[N, T, 20]", "lengths": "int64[N] in 1..T"})
    assert export_onnx(Packed(kind), signature, tmp_path / "b", quantize="int8").report.passed
    nodes = {node.op_type for node in all_nodes(onnx.load(tmp_path / "b" / "model.onnx").graph)}
    assert nodes & {"DynamicQuantizeLSTM", "MatMulInteger"}
    assert "MatMul" not in nodes


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_quarter_of_the_size_and_nothing_left_in_float(tmp_path, kind):
    model = kind(100, 256)
    wide = Signature({"x": "float32[T, N, 100]"})
    whole = export_onnx(model, wide, tmp_path / "f", verify=False).files["model.onnx"]
    small = export_onnx(model, wide, tmp_path / "q", verify=False, quantize="int8").files["model.onnx"]
    assert small < 0.3 * whole
    tensors = onnx.load(tmp_path / "q" / "model.onnx").graph.initializer
    matrices = [tensor for tensor in tensors if min([0, *tensor.dims[-2:]][-2:]) > 1]
    assert matrices
    assert all(tensor.data_type == onnx.TensorProto.INT8 for tensor in matrices)


def test_weights_within_half_a_step_per_channel():
    weights = np.random.default_rng(0).standard_normal((2, 30, 40)).astype(np.float32)
    weights[1, :, 3] = 0
    weights[0, :, 5] *= 1e4
    quantized = quantize_channels(weights)
    back = quantized.values * quantized.scales[:, None, :]
    assert (np.abs(back - weights) <= quantized.scales[:, None, :] * 0.5001).all()
    assert (back[1, :, 3] == 0).all()


def test_a_small_bound_fails_and_writes_nothing(tmp_path):
    with pytest.raises(ParityError, match="times the limit"):
        export_onnx(nn.GRU(20, 32), X, tmp_path / "b", quantize="int8", max_error=1e-5)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantize": "int4"}, "There is no quantization 'int4'"),
        ({"max_error": 0.1}, 'Give `precision="float16"` too, or for ONNX'),
        ({"quantize": "int8", "max_error": 0.0}, "Give a number above 0"),
        ({"quantize": "int8", "max_error": float("nan")}, "Give a number above 0"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(InputError, match=message):
        export_onnx(nn.RNN(20, 8), X, tmp_path / "b", **arguments)


def test_a_float64_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no float32 weights"):
        export_onnx(nn.GRU(20, 8).double(), Signature({"x": "float64[T, N, 20]"}), tmp_path / "b", quantize="int8")


@each_value(opset=[17, 21, 24, 28], kind=[nn.GRU, nn.LSTM])
def test_opsets(tmp_path, kind, opset):
    assert export_onnx(kind(20, 8), X, tmp_path / "b", quantize="int8", opset=opset).report.passed
    model = onnx.load(tmp_path / "b" / "model.onnx")
    assert {entry.version for entry in model.opset_import if not entry.domain} == {opset}
    assert {node.op_type for node in model.graph.node} & {"DynamicQuantizeLSTM", "MatMulInteger"}


def test_form_and_target(tmp_path):
    gru = nn.GRU(20, 8)
    with pytest.raises(InputError, match="no GRU operator with int8 weights. Leave out `lowering='native'` or"):
        export_onnx(gru, X, tmp_path / "b", quantize="int8", lowering="native")
    with pytest.raises(InputError, match="not tried on cuda. Choose the target cpu or portable"):
        export_onnx(gru, X, tmp_path / "b", quantize="int8", target="cuda")
    assert not (tmp_path / "b").exists()


def test_portable_has_standard_operators_alone(tmp_path):
    export_onnx(nn.LSTM(20, 8), X, tmp_path / "b", quantize="int8", target="portable")
    assert {entry.domain for entry in onnx.load(tmp_path / "b" / "model.onnx").opset_import} <= {"", "ai.onnx"}


class TwoKinds(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(20, 8), nn.GRU(8, 8)

    def forward(self, x):
        return self.gru(self.lstm(x)[0])[0]


def test_tuning_times_the_forms_that_there_are(tmp_path):
    export_onnx(TwoKinds(), X, tmp_path / "b", quantize="int8", tune=[{"T": 3, "N": 1}], verify=False)
    artifact = read_manifest(tmp_path / "b").artifacts["model.onnx"]
    assert set(artifact.lowering.tuned[0].milliseconds) == {"lstm native, gru scan", "lstm scan, gru scan"}
    assert artifact.precision.error is None


def test_inspection_counts_weights_and_no_scales(tmp_path):
    exported = export_onnx(nn.LSTM(20, 8), X, tmp_path / "b", quantize="int8", verify=False)
    (inspection,) = inspect(exported.folder)
    assert inspection.weights == {"int8": 4 * 8 * (20 + 8), "float32": 2 * 4 * 8}
    assert inspection.parameters == sum(parameter.numel() for parameter in nn.LSTM(20, 8).parameters())


def test_command_line(tmp_path):
    arguments = ["onnx", "--model", "single", "--set", "cell=gru", "--quantize", "int8", "--out", str(tmp_path / "b")]
    passed = CliRunner().invoke(main, [*arguments, "--max-error", "0.05"])
    assert passed.exit_code == 0, passed.output
    assert "model.onnx matches PyTorch within 0.05 of each output's scale: " in passed.output
    assert "int8 weights: output is off from float64 by at most" in passed.output
    failed = CliRunner().invoke(main, [*arguments, "--max-error", "1e-5"])
    assert failed.exit_code == 1
    assert read_manifest(tmp_path / "b").artifacts["model.onnx"].precision.bound == 0.05


def _channel_too_large(quantized: Quantized) -> Quantized:
    scales = quantized.scales.copy()
    scales[..., -3] *= 8
    return Quantized(quantized.values, scales)


def _two_channels_swapped(quantized: Quantized) -> Quantized:
    values = quantized.values.copy()
    values[..., [0, 1]] = values[..., [1, 0]]
    return Quantized(values, quantized.scales)


def _one_weight_off(quantized: Quantized) -> Quantized:
    values = quantized.values.copy()
    values[..., 2, 2] -= np.sign(values[..., 2, 2] + 0.5).astype(np.int8)
    return Quantized(values, quantized.scales)


def _scale_too_coarse(quantized: Quantized) -> Quantized:
    return Quantized(np.rint(quantized.values / 2).astype(np.int8), quantized.scales * 2)


@each_value(
    kind=[nn.RNN, nn.GRU, nn.LSTM],
    fault=[_channel_too_large, _two_channels_swapped, _one_weight_off, _scale_too_coarse],
)
def test_a_fault_of_a_weight_is_found_in_the_file(tmp_path, monkeypatch, kind, fault):
    monkeypatch.setattr(quantization, "quantize_channels", lambda weights: fault(quantize_channels(weights)))
    with pytest.raises(InternalError, match="is not the model's weight in"):
        export_onnx(kind(20, 32), X, tmp_path / "b", quantize="int8")


def test_a_fault_of_the_form_is_found_below_the_bound(tmp_path, monkeypatch):
    step = STEPS["gru"]

    def off(given):
        arrays = step.arrange(given)
        return {**arrays, "bias": arrays["bias"] + np.float32(1e-3)}

    monkeypatch.setattr("rnn_export.lowering.scan.STEPS", {**STEPS, "gru": replace(step, arrange=off)})
    with pytest.raises(ParityError, match=r"model\.float32\.onnx .* times the limit"):
        export_onnx(nn.GRU(20, 32), X, tmp_path / "b", quantize="int8")


def _one_channel_off(arrays: dict[str, NDArray]) -> None:
    name = max((name for name in arrays if "hh" in name and name.endswith("scale")), key=lambda name: arrays[name].size)
    arrays[name][..., -3] *= 8


def _gates_swapped(arrays: dict[str, NDArray]) -> None:
    name = next(name for name in arrays if "ih" in name and name.endswith("int8"))
    arrays[name] = np.roll(arrays[name], 32, axis=-1)


# A GRU's bound sees no scale of one channel that is off by 8; its weights are compared in the file instead.
@pytest.mark.parametrize(
    ("kind", "fault"), [(nn.LSTM, _one_channel_off), (nn.LSTM, _gates_swapped), (nn.GRU, _gates_swapped)]
)
def test_planted_faults_fail_the_bound(tmp_path, kind, fault):
    model = kind(20, 32).eval()
    export_onnx(model, X, tmp_path / "b", quantize="int8")
    graph = onnx.load(tmp_path / "b" / "model.onnx")
    arrays = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.graph.initializer}
    fault(arrays)
    for tensor in graph.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    onnx.save(graph, tmp_path / "faulty.onnx")
    assert not _judge(tmp_path / "faulty.onnx", model).passed
    assert _judge(tmp_path / "b" / "model.onnx", model).passed


def _judge(file, model):
    from rnn_export.parity.cases import make_cases
    from rnn_export.parity.check import check
    from rnn_export.parity.expected import expect
    from rnn_export.pytorch.samples import traced_sizes
    from rnn_export.runtimes.open import open_session

    named = Signature(X.inputs, outputs=[output.name for output in onnx.load(file).graph.output])
    traced = traced_sizes(named)
    expected = expect(model, named, make_cases(named, traced, 0))
    session = open_session("onnxruntime:cpu", file, named.outputs)
    return check(
        session, expected, artifact="m", runtime="onnxruntime:cpu", traced=traced, seed=0, bound=BOUNDS["int8"]
    )
