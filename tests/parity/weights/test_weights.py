"""A file's weights are found bit for bit wherever an exporter moved them; a changed one is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from conftest import LOOPS, SMALL
from hypothesis import assume, given
from hypothesis import strategies as st
from rnn_export import Signature, export_onnx, export_torchscript, load, verify
from rnn_export.lowering.native import onnx_weights
from rnn_export.lowering.steps import STEPS
from rnn_export.parity.weights.compare import compare_weights
from rnn_export.parity.weights.model import computed_weights, model_weights
from rnn_export.parity.weights.stored import stored_weights
from rnn_export.pytorch.evaluation import evaluating
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

pytestmark = pytest.mark.usefixtures("short_streams")

LAYERS: Mapping[str, Callable[..., nn.RNNBase]] = {
    "rnn_tanh": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
X = {"x": "float32[T, N, 3]"}


def compared(file: Path, model: nn.Module) -> Any:
    with evaluating(model):
        return compare_weights(stored_weights(file), model_weights(model))


def in_file(kind: str, rnn: nn.RNNBase, form: str) -> dict[str, np.ndarray]:
    """A layer's weights as an exporter stores them, in ONNX's gate order or as in a Scan."""
    state = {name: tensor.numpy() for name, tensor in rnn.state_dict().items()}
    ends = ["", "_reverse"] if rnn.bidirectional else [""]
    directions = [
        {name[: -len(f"_l0{end}")]: state[name] for name in state if name.endswith(f"_l0{end}")} for end in ends
    ]
    if form == "native":
        found = onnx_weights(kind, [list(direction.values()) for direction in directions])
        return {name: array for name, array in vars(found).items() if array is not None}
    arranged = [STEPS[kind].arrange(direction) for direction in directions]
    return {
        f"{k}.{name}": array
        for k, each in enumerate(arranged)
        for name, array in each.items()
        if array.dtype.kind == "f"
    }


layers = st.tuples(
    st.sampled_from(sorted(LAYERS)),
    st.sampled_from(["native", "scan"]),
    st.integers(1, 6),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64, torch.float16]),
    st.integers(0, 999),
)


def build(layer: tuple[Any, ...]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A layer's weights as in a file, and as in the model."""
    kind, form, I, H, bias, bidirectional, dtype, seed = layer  # noqa: E741  the field's names
    torch.manual_seed(seed)
    rnn = LAYERS[kind](I, H, bias=bias, bidirectional=bidirectional).to(dtype)
    return in_file(kind, rnn, form), model_weights(rnn)


@given(layers)
def test_moved_weights_are_the_models(layer: tuple[Any, ...]) -> None:
    # A single number with few digits may occur twice by chance.
    assume(layer[3] > 1 or layer[6] != torch.float16)
    stored, model = build(layer)
    found = compare_weights(stored, model)
    assert (found.equal, found.faults, found.unknown) == (found.compared, (), ())
    assert found.compared == len(model)


@given(layers, st.integers(0, 10**6), st.sampled_from(["ulp", "float16", "sign", "nan"]))
def test_any_changed_weight_is_found(layer: tuple[Any, ...], k: int, how: str) -> None:
    stored, model = build(layer)
    name = sorted(stored)[k % len(stored)]
    array = stored[name].copy()
    place = np.unravel_index(k % array.size, array.shape)
    before = array[place]
    array[place] = {
        "ulp": np.nextafter(before, array.dtype.type(np.inf)),
        "float16": before.astype(np.float16).astype(array.dtype),
        "sign": -before,
        "nan": np.nan,
    }[how]
    if array[place] == before:
        return
    found = compare_weights({**stored, name: array}, model)
    # A small block may be near nothing; then the tensor is reported as of unknown origin.
    assert [fault.tensor for fault in found.faults] == [name] or name in found.unknown or found.equal < found.compared
    if how in ("ulp", "float16") and layer[3] >= 3 and array.dtype == np.float32:
        assert [(fault.tensor, fault.differing, fault.size) for fault in found.faults] == [(name, 1, array.size)]
        assert (found.faults[0].got, found.faults[0].expected) == (array[place], before)


def test_blocks_of_a_tensor_and_of_a_sum_in_one_tensor() -> None:
    random = np.random.default_rng(0)
    b_ih, b_hh = (random.standard_normal(4).astype(np.float16) for _ in range(2))
    stored = {"W": np.concatenate([(b_ih + b_hh), b_ih, b_hh])}
    found = compare_weights(stored, {"rnn.bias_ih_l0": b_ih, "rnn.bias_hh_l0": b_hh})
    assert (found.equal, found.faults, found.unknown) == (2, (), ())


def test_a_fault_is_described_in_one_line() -> None:
    weight = np.linspace(0.1, 1, 12, dtype=np.float32).reshape(3, 4)
    off = weight.copy()
    off[1, 2] = np.float16(off[1, 2])
    found = compare_weights({"fc.weight": off}, {"fc.weight": weight})
    assert not found.passed
    assert str(found) == (
        "Weights: 'fc.weight' differs from the model's fc.weight in 1 of 12 elements: "
        "0.590820312 instead of 0.590909064; 0 of 1 tensors equal the model's bit for bit."
    )


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_lower_precision_is_a_fault(dtype: Any) -> None:
    torch.manual_seed(0)
    model = model_weights(nn.LSTM(3, 4))
    stored = in_file("lstm", nn.LSTM(3, 4), "native")
    assert compare_weights(stored, model).unknown  # of another model
    torch.manual_seed(0)
    stored = in_file("lstm", nn.LSTM(3, 4), "native")
    low = {name: array.astype(dtype).astype(np.float32) for name, array in stored.items()}
    assert {fault.tensor for fault in compare_weights(low, model).faults} == set(low)


def test_tensors_of_unknown_origin_are_named() -> None:
    model = {"fc.weight": np.ones((2, 3), np.float32), "unused": np.full(4, 0.5, np.float32)}
    found = compare_weights({"fc.weight": model["fc.weight"], "table": np.arange(9, dtype=np.float32)}, model)
    assert found.passed
    assert (found.equal, found.absent, found.unknown) == (1, ("unused",), ("table",))
    assert str(found) == (
        "Weights: 1 of 2 tensors equal the model's bit for bit; not in the file unchanged: unused; "
        "of unknown origin in the file: table."
    )


def test_what_was_folded_is_not_said_to_be_missing() -> None:
    weight, scale = np.random.default_rng(0).random((2, 4, 3), np.float32)
    model = {"conv.weight": weight, "norm.weight": scale}
    found = compare_weights({"folded": weight * scale}, model, computed={"mul": weight * scale})
    assert found.passed
    assert str(found) == (
        "Weights: 0 of 2 tensors equal the model's bit for bit; folded into others, as a batch normalization "
        "is into the layer before it, or unused: conv.weight, norm.weight."
    )


def test_zeros_match_nothing_nearly() -> None:
    model = {"w": np.random.default_rng(0).random((4, 4), np.float32), "b": np.zeros(20, np.float32)}
    stored = {"w": model["w"], "mask": np.array([0, 0, 0, 0, 1], np.float32)}
    found = compare_weights(stored, model)
    assert (found.passed, found.unknown) == (True, ("mask",))


@pytest.mark.parametrize("sizes", [(5, 3), (3, 5)])
def test_a_bias_may_be_added_to_the_rows_of_a_matrix(sizes: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    model = {"weight": random.random(sizes, np.float32), "bias": random.random(5, np.float32)}
    total = model["weight"] + (model["bias"] if sizes[1] == 5 else model["bias"][:, None])
    assert compare_weights({"table": total.T}, model).equal == 2
    total[0, 0] = np.nextafter(total[0, 0], np.float32(9))
    found = compare_weights({"table": total.T}, model)
    assert [fault.of for fault in found.faults] == [("weight", "bias")]


def test_nan_and_the_sign_of_zero_are_bits_too() -> None:
    weight = np.array([[np.nan, 0.0, 1.0], [2.0, 3.0, 4.0]], np.float32)
    assert compare_weights({"w": weight}, {"w": weight.copy()}).equal == 1
    negative = weight.copy()
    negative[0, 1] = -0.0
    assert not compare_weights({"w": negative}, {"w": weight}).passed


@pytest.mark.parametrize("form", ["native", "scan", "torchscript"])
@pytest.mark.parametrize("cell", sorted(LAYERS))
def test_built_in_models(cell: str, form: str, tmp_path: Path) -> None:
    loaded = load("hetero", **SMALL["hetero"], cell=cell, bidirectional=True, batch_first=True)
    if form == "torchscript":
        export_torchscript(loaded.model, loaded.signature, tmp_path / "out", verify=False)
    else:
        export_onnx(loaded.model, loaded.signature, tmp_path / "out", lowering=form, verify=False)  # type: ignore[arg-type]
    (file,) = (tmp_path / "out").glob("model.*")
    found = compared(file, loaded.model)
    assert (found.equal, found.compared, found.unknown) == (26, 26, ())


@pytest.mark.parametrize("name", LOOPS)
def test_loops_by_hand(name: str, tmp_path: Path) -> None:
    loaded = load(name, **SMALL[name])
    for parameter in loaded.model.parameters():
        nn.init.normal_(parameter.data)
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", verify=False)
    found = compared(tmp_path / "out" / "model.onnx", loaded.model)
    assert (found.equal, found.unknown) == (len(loaded.model.state_dict()), ())


@pytest.mark.parametrize("options", [{"stateful": True}, {"opset": 17}, {"opset": 24}])
def test_ways_to_export(options: dict[str, Any], tmp_path: Path) -> None:
    model = nn.LSTM(3, 4, 2, proj_size=2, bidirectional="opset" in options)
    export_onnx(model, Signature(X), tmp_path / "out", verify=False, **options)
    found = compared(tmp_path / "out" / "model.onnx", model)
    assert (found.equal, found.unknown) == (len(model.state_dict()), ())


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


def test_weights_that_layers_compute(tmp_path: Path) -> None:
    model = Wrapped()
    parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    prune.random_unstructured(model.rnn, "weight_ih_l0", amount=0.5)
    model.rnn.parametrizations.weight_hh_l0.original0.data *= 1.7
    exported = export_onnx(model, Signature(X), tmp_path / "out")
    assert exported.report is not None
    assert exported.report.weights is not None
    assert (exported.report.weights.equal, exported.report.weights.unknown) == (4, ())


def test_computed_weights_are_no_faults_without_the_model(tmp_path: Path) -> None:
    model = Wrapped()
    parametrizations.weight_norm(model.rnn, "weight_hh_l0")
    model.rnn.parametrizations.weight_hh_l0.original0.data *= 1.001  # the norms, initially those of the weight itself
    export_onnx(model, Signature(X), tmp_path / "out", verify=False)
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    found = compare_weights(stored_weights(tmp_path / "out" / "model.onnx"), state)
    assert found.passed
    assert found.unknown == ("rnn.weight_hh_l0",)


def test_a_bundle_without_weights_says_so(tmp_path: Path) -> None:
    export_onnx(nn.GRU(3, 4), Signature(X), tmp_path / "out")
    (report,) = verify(tmp_path / "out").reports
    assert str(report.weights) == "Weights: not compared, because the bundle does not hold the model's."
    assert report.passed


def test_a_replayed_bundle_compares_its_weights(write: Callable[[str], Path], tmp_path: Path) -> None:
    spec = f"{write('class Mine(nn.GRU): pass')}:Mine"
    loaded = load(spec, inputs=X, input_size=3, hidden_size=4)
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", source=loaded.source)
    verification = verify(tmp_path / "out")
    assert verification.how == "replayed"
    assert str(verification.reports[0].weights) == "Weights: 4 of 4 tensors equal the model's bit for bit."


COMPUTED: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda W: torch.tanh(W * 0.1),
    "lower triangle": lambda W: W.tril(),
    "clamped": lambda W: W.clamp(-0.3, 0.3),
    "scaled": lambda W: W * 1.001,
    "rounded": lambda W: W.half().float(),
    "quantized": lambda W: torch.fake_quantize_per_tensor_affine(W, 0.004, 0, -128, 127),
    "a row of zeros": lambda W: torch.cat([torch.zeros_like(W[:1]), W[1:]]),
}


class Computing(nn.Module):
    """A layer whose forward computes a weight that nearly equals its parameter."""

    def __init__(self, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 8)
        self.W = nn.Parameter(torch.randn(8, 8) * 0.2)
        self.compute = compute

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.rnn(x)[0], self.compute(self.W))


@pytest.mark.parametrize("name", COMPUTED)
def test_what_forward_computes_of_a_weight_is_no_fault(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = Computing(COMPUTED[name]), torch.randn(5, 2, 3)
    report = export_onnx(model, Signature({"x": "float32[T, N, 3]"}), tmp_path / "out").report
    assert report is not None
    assert report.weights is not None
    assert report.passed
    stored = stored_weights(tmp_path / "out" / "model.onnx")
    computed = computed_weights(model, {"x": x})
    own = model_weights(model)
    assert compare_weights(stored, own, computed).passed
    moved = next(key for key, array in stored.items() if array.shape == (8, 8))
    stored[moved] = stored[moved].copy()
    stored[moved][5, 3] += 0.01
    found = compare_weights(stored, own, computed)
    assert moved in {*found.unknown, *(fault.tensor for fault in found.faults)}


def test_a_model_that_cannot_be_recorded_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: nn.Module, tensors: dict[str, Tensor]) -> None:
        raise TypeError("no modes")

    monkeypatch.setattr("rnn_export.parity.weights.model.computed_weights", refuse)
    report = export_onnx(Computing(COMPUTED["tanh"]), Signature({"x": "float32[T, N, 3]"}), tmp_path / "out").report
    assert report is not None
    why = "the model fails while its operators are recorded (TypeError: no modes)"
    said = f"what forward computes from weights is unknown, because {why}"
    assert said in str(report.weights)
    plain = export_onnx(nn.GRU(3, 8), Signature({"x": "float32[T, N, 3]"}), tmp_path / "plain").report
    assert plain is not None
    assert "is unknown" not in str(plain.weights)


def test_a_computed_mask_of_infinities_is_no_fault_and_hides_none() -> None:
    mask = np.where(np.tri(6, dtype=bool), np.float32(0.5), np.float32(-np.inf))
    other = mask.copy()
    other[2, 1] = -np.inf
    for stored, computed in ((mask, ("mask",)), (other, ())):
        assert compare_weights({"mask": stored}, {}, {"made": mask}).computed == computed


def test_a_computed_infinity_is_no_fault() -> None:
    low = np.array([[-np.inf]], dtype=np.float32)
    assert compare_weights({"low": low}, {}, {"made": np.array([-np.inf, 0.0], dtype=np.float32)}).passed


class Front(nn.Module):
    """A convolution with a batch norm, whose statistics are those it began with, before a GRU: x [N, T, 4]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(4, channels, 3, padding=1), nn.BatchNorm1d(channels)
        self.rnn = nn.GRU(channels, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.gelu(self.norm(self.conv(x.transpose(1, 2))))
        return self.rnn(y.transpose(1, 2))[0]


@pytest.mark.parametrize("channels", [1, 2, 5, 16])
def test_a_norm_that_changes_little_is_folded_without_a_fault(channels: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    report = export_onnx(Front(channels), Signature({"x": "float32[N, T, 4]"}), tmp_path / "b").report
    assert report is not None
    assert report.verdict == "PASS"
