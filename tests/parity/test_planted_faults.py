"""The verifier catches faults planted in an exported graph, and says what and where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import SMALL
from onnx import numpy_helper
from rnn_export import export_onnx, load
from rnn_export.parity import Report, check, expect, make_cases, traced_sizes
from rnn_export.runtimes import open_session

Fault = Callable[[onnx.GraphProto], None]


def change(graph: onnx.GraphProto, ending: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = next(tensor for tensor in graph.initializer if tensor.name.endswith(ending))
    array = edit(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def node(graph: onnx.GraphProto, op_type: str) -> onnx.NodeProto:
    return next(node for node in graph.node if node.op_type == op_type)


def swap_gates(graph: onnx.GraphProto) -> None:
    change(graph, "weight_hh_l0", lambda R: np.concatenate([R[:, 4:8], R[:, :4], R[:, 8:]], axis=1))


def drop_recurrent_bias(graph: onnx.GraphProto) -> None:
    change(graph, "bias_l0", lambda B: np.concatenate([B[:, :12], np.zeros_like(B[:, 12:])], axis=1))


def other_reset(graph: onnx.GraphProto) -> None:
    attribute = next(entry for entry in node(graph, "GRU").attribute if entry.name == "linear_before_reset")
    attribute.i = 0


def reverse(graph: onnx.GraphProto) -> None:
    node(graph, "GRU").attribute.append(onnx.helper.make_attribute("direction", "reverse"))


def transpose_recurrent_weights(graph: onnx.GraphProto) -> None:
    change(graph, "weight_hh_l1", lambda R: R.reshape(1, 3, 4, 4).transpose(0, 1, 3, 2).reshape(R.shape))


def half_precision(graph: onnx.GraphProto) -> None:
    change(graph, "weight_ih_l0", lambda W: W.astype(np.float16).astype(np.float32))


def ignore_initial_state(graph: onnx.GraphProto) -> None:
    node(graph, "GRU").input[5] = ""


def share_initial_state(graph: onnx.GraphProto) -> None:
    first, second = (entry for entry in graph.node if entry.op_type == "GRU")
    second.input[5] = first.input[5]


def swap_outputs(graph: onnx.GraphProto) -> None:
    node(graph, "Concat").input[:] = list(reversed(node(graph, "Concat").input))


FAULTS = [
    swap_gates,
    drop_recurrent_bias,
    other_reset,
    reverse,
    transpose_recurrent_weights,
    half_precision,
    ignore_initial_state,
    share_initial_state,
    swap_outputs,
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    loaded = load("initial_state", **SMALL["initial_state"], cell="gru")
    out = tmp_path_factory.mktemp("faults") / "out"
    export_onnx(loaded.model, loaded.signature, out)
    return out / "model.onnx"


def judge(path: Path) -> Report:
    loaded = load("initial_state", **SMALL["initial_state"], cell="gru")
    traced = traced_sizes(loaded.signature)
    expected = expect(loaded.model.eval(), loaded.signature, make_cases(loaded.signature, traced, 3))
    session = open_session("onnxruntime:cpu", path, loaded.signature.outputs)
    return check(session, expected, artifact=path.name, runtime="onnxruntime:cpu", traced=traced, seed=3)


def test_without_a_fault_it_passes(original: Path) -> None:
    assert judge(original).passed
    assert judge(original).failure == ""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: Fault, original: Path, tmp_path: Path) -> None:
    model = onnx.load(original)
    fault(model.graph)
    onnx.save(model, tmp_path / "faulty.onnx")
    report = judge(tmp_path / "faulty.onnx")
    assert not report.passed
    assert "faulty.onnx in onnxruntime:cpu: output '" in report.failure
    assert "in case " in report.failure


def test_the_first_wrong_time_step_is_named(original: Path, tmp_path: Path) -> None:
    model = onnx.load(original)
    ignore_initial_state(model.graph)
    onnx.save(model, tmp_path / "faulty.onnx")
    assert "They first differ at time step 0." in judge(tmp_path / "faulty.onnx").failure
