"""A file refuses a size beyond the bound that its capture assumed, however it is optimized and at whatever opset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnx_ir import from_proto, to_proto
from rnn_export import CaptureError, Signature
from rnn_export.optimize.bounds import enforce_bounds

LEVELS = [getattr(ort.GraphOptimizationLevel, f"ORT_{name}") for name in ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_ALL")]
MOST = {"T": 37, "N": 5}


def doubled(opset: int, signature: Signature, bounds: dict[str, dict[str, int]]) -> onnx.ModelProto:
    """x + x over x [T, N, 3], with bounds."""
    shape = ["T", "N", 3]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "main", [x], [y])
    model = from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10))
    enforce_bounds(model, signature, bounds)
    return to_proto(model)


@pytest.mark.parametrize("opset", [17, 18, 21, 23])
@pytest.mark.parametrize("level", LEVELS)
def test_beyond_a_bound_onnx_runtime_raises(opset: int, level: ort.GraphOptimizationLevel) -> None:
    proto = doubled(opset, Signature({"x": "float32[T, N, 3]"}), {name: {"max": most} for name, most in MOST.items()})
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    for T, N in ((1, 1), (MOST["T"], MOST["N"]), (MOST["T"], 1), (0, 2)):
        x = np.ones((T, N, 3), np.float32)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + x)
    for T, N, name in ((38, 1, "T"), (74, 5, "T"), (1000, 1, "T"), (1, 6, "N"), (37, 10, "N")):
        with pytest.raises(Exception, match=f"{name} is at most {MOST[name]}"):
            session.run(None, {"x": np.ones((T, N, 3), np.float32)})


def test_a_bound_on_what_the_graph_does_not_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="holds for S up to 4 only, and the graph reads no input of that size"):
        doubled(18, Signature({"x": "float32[T, N, 3]"}), {"S": {"max": 4}})


@pytest.mark.parametrize("opset", [17, 18, 23])
@pytest.mark.parametrize("level", LEVELS)
def test_below_a_least_size_onnx_runtime_raises(opset: int, level: ort.GraphOptimizationLevel) -> None:
    bounds = {"T": {"min": 4, "max": 37}, "N": {"min": 2}}
    proto = doubled(opset, Signature({"x": "float32[T, N, 3]"}), bounds)
    onnx.checker.check_model(proto, full_check=True)
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    for T, N in ((4, 2), (5, 2), (37, 400)):
        x = np.ones((T, N, 3), np.float32)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], x + x)
    for T, N, why in (
        (3, 2, "T is at least 4"),
        (0, 9, "T is at least 4"),
        (38, 2, "T is at most 37"),
        (9, 1, "N is at l"),
    ):
        with pytest.raises(Exception, match=why):
            session.run(None, {"x": np.ones((T, N, 3), np.float32)})


def test_a_least_size_of_what_the_graph_does_not_read_needs_nothing() -> None:
    assert len(doubled(18, Signature({"x": "float32[T, N, 3]"}), {"S": {"min": 4}}).graph.node) == 1
