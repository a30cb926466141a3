"""int8 weights in a file equal the model's after rounding; all other tensors equal the model's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from combinations import each_value
from numpy.typing import NDArray
from onnx import numpy_helper
from planting import plant, write_bundle
from rnn_export import Signature, export_onnx, verify
from rnn_export.optimize.quantization import quantize_channels
from rnn_export.parity.weights.candidates import scaled
from rnn_export.parity.weights.compare import WeightComparison, compare_weights
from rnn_export.parity.weights.model import model_weights
from rnn_export.parity.weights.stored import stored_int8, stored_weights
from rnn_export.pytorch.evaluation import evaluating
from torch import nn

X = Signature({"x": "float32[T, N, 20]"})
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: nn.RNN(20, 8, 2),
    "gru": lambda: nn.GRU(20, 8, bidirectional=True),
    "lstm": lambda: nn.LSTM(20, 8, 2, bidirectional=True),
    "without bias": lambda: nn.LSTM(20, 8, bias=False),
    "projected": lambda: nn.LSTM(20, 8, proj_size=5),
    "one unit": lambda: nn.GRU(20, 1),
}


def exported(model: nn.Module, out: Path, **options: Any) -> Path:
    return export_onnx(model, X, out, quantize="int8", max_error=1.0, verify=False, **options).folder / "model.onnx"


def compared(file: Path, model: nn.Module) -> WeightComparison:
    with evaluating(model):
        return compare_weights(stored_weights(file), model_weights(model), {}, stored_int8(file))


@each_value(name=list(LAYERS), target=["cpu", "portable"])
def test_every_tensor_is_accounted_for(name: str, target: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LAYERS[name]()
    found = compared(exported(model, tmp_path / "out", target=target), model)
    matrices = [each for each, tensor in model.state_dict().items() if tensor.dim() == 2]
    assert sorted(found.int8) == sorted(matrices)
    assert found.equal == found.compared - len(matrices)
    assert (found.faults, found.unknown, found.absent, found.partly) == ((), (), (), ())
    if name == "rnn":
        assert str(found) == ("Weights: 4 of 8 tensors equal the model's bit for bit; 4 are int8, correctly rounded.")


def test_a_matrix_that_two_products_share(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "mgu", quantize="int8")
    (report,) = verify(bundle, seed=1).reports
    assert report.weights is not None
    assert sorted(report.weights.int8) == ["cell.candidate.weight", "cell.forget.weight"]
    assert report.weights.unknown == ()


def _weight_off(arrays: dict[str, NDArray[Any]]) -> str:
    name = next(name for name in arrays if name.endswith("int8"))
    arrays[name].flat[3] += -1 if arrays[name].flat[3] > 0 else 1
    return name


def _scale_off(arrays: dict[str, NDArray[Any]]) -> str:
    name = next(name for name in arrays if name.endswith("scale"))
    arrays[name].flat[-1] = np.nextafter(arrays[name].flat[-1], np.float32(1))
    return name.replace("scale", "int8")


def _bias_off(arrays: dict[str, NDArray[Any]]) -> str:
    name = max((name for name in arrays if "bias" in name and arrays[name].dtype == np.float32), key=len)
    arrays[name].flat[-1] = np.nextafter(arrays[name].flat[-1], np.float32(1))
    return name


def _channels_swapped(arrays: dict[str, NDArray[Any]]) -> str:
    name = next(name for name in arrays if name.endswith("int8"))
    arrays[name][..., [0, 1]] = arrays[name][..., [1, 0]]
    return name


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Callable[[type[nn.RNNBase]], tuple[nn.Module, bytes]]:
    """A layer and its file, which is written once."""

    @cache
    def quantized(kind: type[nn.RNNBase]) -> tuple[nn.Module, bytes]:
        torch.manual_seed(0)
        model = kind(20, 8)
        return model, exported(model, tmp_path_factory.mktemp("int8") / "out").read_bytes()

    return quantized


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("fault", [_weight_off, _scale_off, _bias_off, _channels_swapped])
def test_a_changed_weight_is_found(
    kind: type[nn.RNNBase], fault: Callable[[dict[str, NDArray[Any]]], str], quantized: Any, tmp_path: Path
) -> None:
    model, file = quantized(kind)
    proto = onnx.load_from_string(file)
    arrays = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in proto.graph.initializer}
    name = fault(arrays)
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    onnx.save(proto, tmp_path / "faulty.onnx")
    assert [each.tensor for each in compared(tmp_path / "faulty.onnx", model).faults] == [name]


def test_a_changed_bias_fails_a_bundle(tmp_path: Path) -> None:
    def off(proto: onnx.ModelProto) -> None:
        tensor = next(each for each in proto.graph.initializer if each.name == "fc.bias")
        array = numpy_helper.to_array(tensor).copy()
        array[0] = np.nextafter(array[0], np.float32(1))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    bundle = write_bundle(tmp_path / "out", "tagger", quantize="int8")
    assert verify(bundle, seed=1).passed
    plant(bundle, off)
    verification = verify(bundle, seed=1)
    assert not verification.passed
    assert "'fc.bias' differs from the model's fc.bias in 1 of 3 elements" in verification.reports[0].failure


def test_a_part_from_the_middle_of_a_matrix_is_unknown_and_no_fault() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    part = scaled(quantize_channels(weight[:, 4:8].T))
    found = compare_weights({}, {"fc.weight": weight}, {}, {"fc.weight.int8": part})
    assert (found.faults, found.unknown, found.absent) == ((), ("fc.weight.int8",), ("fc.weight",))


def test_what_forward_computes_may_be_int8_too() -> None:
    weight = np.random.default_rng(0).standard_normal((8, 12)).astype(np.float32)
    clamped = np.clip(weight, -1.5, 1.5)
    part = scaled(quantize_channels(clamped.T))
    assert not compare_weights({}, {"fc.weight": weight}, {}, {"fc.weight.int8": part}).passed
    assert compare_weights({}, {"fc.weight": weight}, {"made": clamped}, {"fc.weight.int8": part}).passed
