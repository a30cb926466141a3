"""A planted fault is located by layer, time step and element."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from click.testing import Result
from combinations import combinations
from onnx import numpy_helper
from planting import plant, write_bundle
from rnn_export import verify
from rnn_export.parity.compare_layers import trace_layers
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")


def _weight(layer: str) -> Callable[[onnx.ModelProto], None]:
    """Change one weight of a matrix of the layer."""

    def fault(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if layer in each.name and len(each.dims) > 1)
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[5] += np.float32(0.3)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return fault


@combinations(
    cell=["rnn_tanh", "gru", "lstm"], lowering=["native", "scan"], option=["none", "bidirectional", "batch_first"]
)
def test_the_layer_of_a_fault_is_named(cell: str, lowering: str, option: str, tmp_path: Path) -> None:
    settings = {"cell": cell, **({} if option == "none" else {option: True})}
    bundle = write_bundle(tmp_path / "out", "tagger", settings=settings, lowering=lowering)
    plant(bundle, _weight("_l1"))
    (fault,) = verify(bundle, seed=1).faults
    assert fault.where.startswith("The first layer that differs is 'rnn.l1': its output at time step ")
    verdicts = {value.layer: value.result.passed for value in fault.layers if value.value == "output"}
    assert verdicts == {"rnn.l0": True, "rnn.l1": False}


def test_a_file_with_a_graph_for_one_step(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "hetero", stateful=True)
    plant(bundle, _weight("rnn.1.weight_hh"))
    (fault,) = verify(bundle, seed=1).faults
    assert "'rnn.1.l0': its output at time step 1" in fault.where


def test_states_and_streams(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "hetero", settings={"cell": "lstm"}, stateful=True)
    plant(bundle, _weight("rnn.1."))
    (fault,) = verify(bundle, seed=1).faults
    assert "'rnn.1.l0': its output at time step 0" in fault.where
    assert [(value.layer, value.value) for value in fault.layers][:3] == [
        ("rnn.0.l0", "output"),
        ("rnn.0.l0", "h_n"),
        ("rnn.0.l0", "c_n"),
    ]


def test_a_fault_after_the_layers(tmp_path: Path, cli: Callable[..., Result]) -> None:
    plant(write_bundle(tmp_path / "out", "classifier"), _weight("fc."))
    (fault,) = verify(tmp_path / "out", seed=1).faults
    assert fault.where == "Every recurrent layer is right in one pass; the fault is elsewhere."
    result = cli("verify", "out", "--bisect")
    assert result.exit_code == 1
    assert "What every layer computes in it is in out.model.onnx.layers.safetensors." in result.stdout
    kept = safetensors.numpy.load_file(tmp_path / "out.model.onnx.layers.safetensors")
    assert {"rnn.l0/output/runtime", "rnn.l0/output/eager", "rnn.l1/output/reference"} <= kept.keys()


def test_a_model_without_recurrent_layers(tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "mgu"), _weight(""))
    (fault,) = verify(tmp_path / "out", seed=1).faults
    assert fault.where == "No recurrent layer of torch.nn could be compared on its own."


def test_a_file_that_does_not_run(tmp_path: Path) -> None:
    def bake(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.input[:] = ["baked" if name == "x" else name for name in node.input]
        model.graph.initializer.append(numpy_helper.from_array(np.array([7, 5, 3]), "sizes"))
        model.graph.node.insert(0, onnx.helper.make_node("Reshape", ["x", "sizes"], ["baked"]))

    plant(write_bundle(tmp_path / "out", "hetero"), bake)
    (fault,) = verify(tmp_path / "out", seed=1).faults
    assert fault.where.startswith("Layers could not be compared: ")


def test_single_layers_compute_what_the_module_does() -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 2, 3)
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        for options in ({}, {"bidirectional": True}, {"bias": False}):
            module = kind(3, 4, num_layers=3, **options)  # type: ignore[arg-type]
            found = trace_layers(module, {"input": x})
            assert list(found) == ["rnn.l0", "rnn.l1", "rnn.l2"]
            expected = module(x)[0].detach().numpy()
            np.testing.assert_allclose(found["rnn.l2"]["output"], expected, atol=1e-6)


class _Shared(nn.Module):
    """One layer runs twice, one runs without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.GRU(3, 3)
        self.flat = nn.GRU(3, 3)
        self.last = nn.GRU(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.twice(self.twice(x)[0])[0]
        y = y + self.flat(y[:, 0])[0][:, None]
        result: Tensor = self.last(y, torch.ones(1, x.size(1), 3))[0]
        return result


def test_ambiguous_layers_are_left_out() -> None:
    assert list(trace_layers(_Shared(), {"x": torch.randn(4, 2, 3)})) == ["last.l0"]
