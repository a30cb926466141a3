"""A Scan that may have no steps runs only where it has one; ONNX Runtime cannot run it else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from pipeline import translated, written
from rnn_export import Signature
from rnn_export.optimize.empty_loops import guard_empty_loops
from rnn_export.pytorch.samples import Case
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

_GRAPH = """
<ir_version: 9, opset_import: ["" : 18]>
main (float[T, N, 3] x, float[{length}, N, 3] r, float[N, 3] h0) => (float[N, 3] h_n, float[{length}, N, 3] y) {{
    first = Constant <value_int = 1> ()
    second = Gather(x, first)
    h_n, y = Scan <num_scan_inputs = 1,
                   body = step (float[N, 3] h, float[N, 3] e) => (float[N, 3] next, float[N, 3] out) {{
        s = Add(h, e)
        next = Add(s, second)
        out = Identity(next)
    }}> (h0, r)
}}
"""


def _guarded(length: str) -> ir.Model:
    model = ir.serde.deserialize_model(onnx.parser.parse_model(_GRAPH.format(length=length)))
    signature = Signature(
        {"x": "float32[T, N, 3]", "r": f"float32[{length}, N, 3]", "h0": "float32[N, 3]"}, ["h_n", "y"]
    )
    guard_empty_loops(model, signature)
    return model


@pytest.mark.parametrize("length", ["T", "N", "4"])
def test_a_named_size_is_never_zero(length: str) -> None:
    assert "If" not in [node.op_type for node in _guarded(length).graph]


class Rest(nn.Module):
    """T - 1 steps from the first element; what all steps read does not exist at T = 1."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.cell, self.out = nn.Linear(4, 5), nn.GRUCell(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.first(x[0]))
        ys = []
        for e in x[1:]:
            h = self.cell(e, h) + self.first(x[1])
            ys.append(self.out(h))
        return torch.stack([self.out(x[0, :, :1].expand(-1, 5)), *ys]), h


class Counted(nn.Module):
    """T - 1 steps that read nothing of the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = x.mean(1)
        ys = [h]
        for _ in range(1, x.size(1)):
            h = torch.tanh(self.cell(h))
            ys.append(h)
        return torch.stack(ys, 1)


class Inner(nn.Module):
    """A loop of T - 1 steps in the body of another, that begins anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.other = nn.GRUCell(4, 5), nn.GRUCell(4, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        def step(h: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
            g, ys = scan(lambda g, f: (self.other(f + e, g), self.other(f, g)), h, x[1:])
            return self.cell(e, g), ys.sum(0)

        return scan(step, x.new_zeros(x.size(1), 5), x)


CASES = [Case({"T": T, "N": N}, "ordinary", T) for T, N in [(1, 1), (1, 3), (2, 2), (3, 1), (20, 2)]]


@pytest.mark.parametrize("kind", [Rest, Counted])
def test_a_loop_without_steps(kind: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = "float32[N, T, 5]" if kind is Counted else "float32[T, N, 4]"
    model = written(translated(kind(), Signature({"x": spec}), CASES), "auto", tmp_path / "model.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("If") == 1
    assert "Scan" not in kinds


def test_a_loop_without_steps_in_another(tmp_path: Path) -> None:
    torch.manual_seed(0)
    written(translated(Inner(), Signature({"x": "float32[T, N, 4]"}), CASES[2:]), "auto", tmp_path / "model.onnx")


def test_what_only_the_loop_reads_moves_along() -> None:
    """Gather(x, 1) is an error at T = 1, where the loop over x[1:] has no step."""
    text = (
        _GRAPH.format(length="S")
        .replace("float[S, N, 3] r, ", "")
        .replace(
            "h_n, y = Scan",
            "one = Constant <value_ints = [1]> ()\n end = Constant <value_ints = [99]> ()\n"
            "axis = Constant <value_ints = [0]> ()\n r = Slice(x, one, end, axis)\n h_n, y = Scan",
        )
    )
    model = onnx.shape_inference.infer_shapes(onnx.parser.parse_model(text))
    graph = ir.serde.deserialize_model(model)
    guard_empty_loops(graph, Signature({"x": "float32[T, N, 3]", "h0": "float32[N, 3]"}, ["h_n", "y"]))
    kinds = [node.op_type for node in graph.graph]
    assert "Gather" not in kinds
    assert kinds[-1] == "If"
    session = onnxruntime.InferenceSession(ir.to_proto(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    x, h0 = np.ones((3, 2, 3), np.float32), np.full((2, 3), 5, np.float32)
    h_n, y = session.run(None, {"x": x, "h0": h0})
    assert (h_n == 9).all()
    assert y.shape == (2, 2, 3)
    h_n, y = session.run(None, {"x": x[:1], "h0": h0})
    assert (h_n == h0).all()
    assert y.shape == (0, 2, 3)
