"""What ran where: read from ONNX Runtime's profile, and judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rnn_export import Signature, export_onnx
from rnn_export.runtimes.open import open_session
from rnn_export.runtimes.placement import Placement, Ran, Role, read_nodes
from torch import nn

CPU, GPU = "CPUExecutionProvider", "WebGpuExecutionProvider"


def run(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur}


def node(operator: str, provider: str, ts: int, dur: int, **inputs: list[int]) -> dict[str, Any]:
    shapes = [{dtype: shape} for dtype, shape in inputs.items()]
    args = {"op_name": operator, "provider": provider, "input_type_shape": shapes}
    return {"cat": "Node", "name": f"{operator}_kernel_time", "ts": ts, "dur": dur, "args": args}


def test_the_last_run_is_read_and_a_body_is_not_counted_twice() -> None:
    events = [
        run(0, 900),
        node("Gemm", CPU, 10, 800, float=[2, 3]),
        run(1000, 100),
        node("Scan", CPU, 1000, 80, float=[2, 3]),
        node("Gemm", GPU, 1005, 30, float=[2, 3]),
        node("Gemm", GPU, 1040, 30, float=[2, 3]),
        node("MemcpyToHost", GPU, 1080, 10, float=[2, 3]),
        node("Concat", CPU, 1090, 10, int64=[1]),
        {"cat": "Node", "name": "Concat_fence_before", "ts": 1090, "dur": 99, "args": {"op_name": "Concat"}},
    ]
    assert read_nodes(events) == [
        Ran("Gemm", GPU, 2, 0.6, "computes"),
        Ran("Scan", CPU, 1, 0.2, "drives"),
        Ran("MemcpyToHost", GPU, 1, 0.1, "copies"),
        Ran("Concat", CPU, 1, 0.1, "sizes"),
    ]


def test_a_providers_numbered_subgraphs_are_one_operator() -> None:
    events = [run(0, 9), node("EP-subgraph_1", GPU, 0, 3, float=[2]), node("EP-subgraph_12_0", GPU, 4, 3, float=[2])]
    assert read_nodes(events) == [Ran("EP-subgraph", GPU, 2, 1.0, "computes")]


@pytest.mark.parametrize(
    ("inputs", "role"),
    [
        ({"int64": [2]}, "sizes"),
        ({"int64": []}, "sizes"),
        ({"int64": [8], "int32": [1]}, "sizes"),
        ({"int64": [9]}, "computes"),
        ({"int64": [2, 3]}, "computes"),
        ({"int64": [2], "float": []}, "computes"),
        ({"float16": [1]}, "computes"),
        ({}, "computes"),
    ],
)
def test_what_counts_as_sizes(inputs: dict[str, list[int]], role: Role) -> None:
    (ran,) = read_nodes([run(0, 9), node("Concat", CPU, 0, 3, **inputs)])
    assert ran.role == role


def test_without_a_run_there_is_nothing_to_be_read() -> None:
    with pytest.raises(ValueError, match="max"):
        read_nodes([])


def ran(operator: str, provider: str, role: Role = "computes") -> Ran:
    return Ran(operator, provider, 3, 0.25, role)


@pytest.mark.parametrize(
    ("nodes", "fallback"),
    [
        ([], []),
        ([ran("LSTM", GPU)], []),
        ([ran("LSTM", GPU), ran("Scan", CPU, "drives"), ran("Shape", CPU, "sizes")], []),
        ([ran("LSTM", GPU), ran("GRU", CPU)], ["GRU"]),
        # Nothing there at all: what would be excused beside a node that is there is not.
        ([ran("Scan", CPU, "drives"), ran("Shape", CPU, "sizes")], ["Scan", "Shape"]),
        ([ran("GRU", CPU)], ["GRU"]),
    ],
)
def test_what_is_a_fallback(nodes: list[Ran], fallback: list[str]) -> None:
    placement = Placement(GPU, "1.27.0", nodes)
    assert [ran.operator for ran in placement.fallback] == fallback
    assert bool(placement.failure) == bool(fallback)
    assert placement.to_json()["fallback"] == fallback


def test_a_fallback_in_words() -> None:
    nodes = [ran("LSTM", GPU), Ran("GRU", CPU, 1, 0.004, "computes"), ran("RNN", CPU)]
    assert Placement(GPU, "1.27.0", nodes).failure == (
        "GRU (1 run, 0.4% of the time) ran on CPUExecutionProvider, "
        "RNN (3 runs, 25% of the time) ran on CPUExecutionProvider"
    )
    assert Placement(GPU, "1.27.0", [*nodes, *nodes, *nodes]).failure.endswith(", and so did 3 more")
    assert Placement(GPU, "1.27.0", nodes[1:]).failure == "not one node ran on WebGpuExecutionProvider"


def test_what_a_session_tells_of_its_first_run(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]"}, ["output", "h_n"])
    export_onnx(nn.GRU(3, 4), signature, tmp_path / "out", lowering="scan", verify=False)
    session = open_session("onnxruntime:cpu", tmp_path / "out" / "model.onnx", signature.outputs)
    assert session.placement().nodes == ()
    for T in (5, 9):
        session.run({"x": np.zeros((T, 2, 3), np.float32)})
    nodes = {node.operator: node for node in session.placement().nodes}
    assert {node.provider for node in nodes.values()} == {CPU}
    assert (nodes["Scan"].runs, nodes["Tanh"].runs) == (1, 5)
    assert sum(node.share for node in session.placement().nodes) == pytest.approx(1)
