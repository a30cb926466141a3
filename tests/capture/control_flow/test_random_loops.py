"""Loops that nobody wrote: random bounds, bodies, decisions and lists, each exported and compared with PyTorch."""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rnn_export import Signature
from rnn_export.capture.capture import capture
from rnn_export.lowering.forms import forms_for
from rnn_export.lowering.lower import build_graph
from rnn_export.lowering.translate import translate
from rnn_export.pytorch.evaluation import evaluating
from rnn_export.pytorch.job import prepare
from rnn_export.pytorch.request import ExportRequest, silent
from torch import Tensor, nn

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 33, 150)

BOUNDS = st.sampled_from(
    ["range(T)", "range(1, T)", "range(0, T, 2)", "range(2, T, 3)", "range(T - 1, -1, -1)", "range(T - 2, -1, -1)"]
)
TESTS = st.sampled_from(
    ["t == 0", "t == 3", "t % 2 == 0", "t % 3 == 1", "t > 4", "t < T - 2", "t == T - 1", "T % 2 == 0", "T > 5"]
)
SIMPLE = st.sampled_from(
    [
        "h = self.cell(x[t], h)",
        "h = self.cell(x[T - 1 - t], h)",
        "h = self.cell(x[max(0, t - 1) : t + 1].mean(0), h)",
        "h = h * 0.5",
        "h = -h + t / 10",
        "n += 1",
        "total = total + h * n",
        "before, h = h, torch.tanh(before + h)",
        "outs.append(h)",
        "outs.append(x[t] * n)",
        "pair = [pair[1], pair[0] + h]",
        "state['a'] = state['a'] * 0.5 + h",
        "self.kept = self.kept + h.sum(1)",
        "buffer[t] = h",
    ]
)


@st.composite
def statements(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """Lines of a body, indented from 0."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3 if depth else 4))):
        kind = draw(st.sampled_from(["simple"] * 4 + (["if", "else", "for", "leave"] if depth < 2 else [])))
        if kind == "simple":
            lines.append(draw(SIMPLE))
            continue
        inner = ["    " + line for line in draw(statements(depth + 1))]
        if kind == "for":
            lines += [
                "for k in range(2):",
                *(line.replace("break", "pass").replace("continue", "pass") for line in inner),
            ]
        elif kind == "leave":
            lines += [f"if {draw(TESTS)}:", "    " + draw(st.sampled_from(["break", "continue"]))]
        else:
            lines += [f"if {draw(TESTS)}:", *inner]
            if kind == "else":
                lines += ["else:", *("    " + line for line in draw(statements(depth + 1)))]
    return lines


@st.composite
def programs(draw: st.DrawFn) -> str:
    body = draw(statements())
    lines = [
        "def forward(self, x):",
        "    T = x.size(0)",
        "    h = total = before = x.new_zeros(x.size(1), 4)",
        "    n, outs, pair, state = 0, [h], [h, h + 1], {'a': h}",
        "    buffer = x.new_zeros(T, x.size(1), 4)",
        "    self.kept = x.new_zeros(x.size(1))",
        f"    for t in {draw(BOUNDS)}:",
        *("        " + line for line in ["h = torch.tanh(self.cell(x[t], h))", *body]),
        "    return torch.stack(outs), h, total * n, before, pair[0], state['a'], self.kept, buffer",
    ]
    return "\n".join(lines) + "\n"


def module_of(source: str) -> nn.Module:
    """A module whose forward has this source, which tools that read source can find."""
    name = f"<random loop {abs(hash(source))}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    scope: dict[str, Any] = {"torch": torch, "__name__": "random_loops"}
    exec(compile(source, name, "exec"), scope)
    forward: Callable[..., Any] = scope["forward"]

    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.cell = nn.GRUCell(4, 4)
            self.kept: Tensor | None = None

    Random.forward = forward  # type: ignore[method-assign]
    return Random().eval()


@given(programs())
@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_random_loop_is_right(source: str) -> None:
    model = module_of(source)
    with evaluating(model):
        job = prepare(ExportRequest(model, Signature({"x": "float32[T, N, 4]"})), seed=0, progress=silent)
        translated = translate(capture(model, job.signature, job.tensors), job.signature)
        graph = build_graph(translated, job.signature, forms_for("auto", "cpu", stateful=False), 18, False, False)
        session = onnxruntime.InferenceSession(ir.to_proto(graph.model).SerializeToString())
        for length in LENGTHS:
            x = torch.randn(length, 2, 4)
            try:
                with torch.no_grad():
                    expected = model(x.clone())
            except Exception:  # an index of the random loop may be out of range
                continue
            for got, want in zip(session.run(None, {"x": x.numpy()}), expected, strict=True):
                assert got.shape == tuple(want.shape), (length, source)
                assert np.allclose(got, want.numpy(), rtol=1e-4, atol=1e-4), (length, source)
