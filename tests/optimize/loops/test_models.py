"""Loops of models: after the passes, they compute what the plain graph and PyTorch do, in the form that is fast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from combinations import each_value
from graphs import bodies, check_close, kinds, optimized, run
from rnn_export import Signature, load
from rnn_export.capture.capture import capture
from rnn_export.lowering.forms import forms_for
from rnn_export.lowering.lower import lower
from rnn_export.lowering.translate import translate
from rnn_export.optimize.simplify import simplify
from rnn_export.pytorch.job import prepare
from rnn_export.pytorch.request import ExportRequest, silent
from torch import Tensor, nn


class CfC(nn.Module):
    """Closed-form continuous-time cell (Hasani et al. 2022, equation 10), with time steps of 1, over time."""

    def __init__(self, input_size: int = 3, hidden_size: int = 4, width: int = 8) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.backbone = nn.Linear(input_size + hidden_size, width)
        self.g, self.h, self.a, self.b = (nn.Linear(width, hidden_size) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.size(1), self.hidden_size)
        states = []
        for step in x:
            z = torch.tanh(self.backbone(torch.cat([step, state], -1)))
            gate = torch.sigmoid(self.a(z) + self.b(z))
            state = torch.tanh(self.g(z)) * (1 - gate) + gate * torch.tanh(self.h(z))
            states.append(state)
        return torch.stack(states)


class Backwards(nn.Module):
    """A cell of PyTorch's, read from the end, with an output layer per step."""

    def __init__(self, cell: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell, self.out = cell(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        h, outputs = h0, []
        for t in reversed(range(x.size(0))):
            h = self.cell(x[t], h)
            outputs.insert(0, torch.sigmoid(self.out(h)))
        return torch.stack(outputs), h


@dataclass(frozen=True)
class Case:
    """A model, and the operators of its only loop's body; `before` and `after` are products outside."""

    build: Callable[[], tuple[nn.Module, Signature]]
    body: list[str]
    before: int
    after: int


def _library(name: str, **sizes: int) -> Callable[[], tuple[nn.Module, Signature]]:
    def build() -> tuple[nn.Module, Signature]:
        loaded = load(name, **sizes)
        return loaded.model, loaded.signature

    return build


_SEQUENCE = {"x": "float32[T, N, 3]", "h0": "float32[N, 4]"}
CASES = {
    "scratch": Case(_library("scratch", num_hiddens=8), ["Gemm", "Tanh", "Identity"], 0, 1),
    "layernorm_lstm": Case(
        _library("layernorm_lstm", input_size=3, hidden_size=4),
        [
            *("MatMul", "LayerNormalization", "Add", "Split", "Sigmoid", "Mul", "Sigmoid", "Tanh", "Mul", "Add"),
            *("Sigmoid", "LayerNormalization", "Tanh", "Mul", "Identity"),
        ],
        1,
        0,
    ),
    "mgu": Case(
        _library("mgu", input_size=3, hidden_size=4),
        ["Gemm", "Sigmoid", "Mul", "Gemm", "Tanh", "Sub", "Mul", "Mul", "Add", "Identity"],
        2,
        0,
    ),
    "cfc": Case(
        lambda: (CfC(), Signature({"x": "float32[T, N, 3]"})),
        [
            "Gemm",
            "Tanh",
            "Gemm",
            "Gemm",
            "Gemm",
            "Gemm",
            "Sigmoid",
            "Tanh",
            "Sub",
            "Mul",
            "Tanh",
            "Mul",
            "Add",
            "Identity",
        ],
        1,
        0,
    ),
    "rnn cell": Case(
        lambda: (Backwards(nn.RNNCell), Signature(_SEQUENCE)),
        ["Gemm", "Tanh", "Identity"],
        1,
        1,
    ),
    "gru cell": Case(
        lambda: (Backwards(nn.GRUCell), Signature(_SEQUENCE)),
        ["Gemm", "Gemm", "Gemm", "Sigmoid", "Sigmoid", "Mul", "Add", "Tanh", "Sub", "Mul", "Add", "Identity"],
        3,
        1,
    ),
}


def _plain(model: nn.Module, signature: Signature) -> tuple[ir.Model, Signature]:
    """The graph before the passes."""
    prepared = prepare(ExportRequest(model, signature, None, None), seed=0, progress=silent)
    translated = translate(capture(model, prepared.signature, prepared.tensors), prepared.signature)
    graph = lower(translated, forms_for("scan", "cpu", stateful=False)).model
    simplify(graph)
    return graph, prepared.signature


def _inputs(signature: Signature, T: int, N: int) -> dict[str, Tensor]:
    torch.manual_seed(T + N)
    return {
        name: torch.randn(spec.sized({"T": T, "N": N}), dtype=getattr(torch, spec.dtype))
        if spec.is_float
        else torch.randint(spec.range[0], spec.range[1] + 1, spec.sized({"T": T, "N": N}))
        for name, spec in signature.inputs.items()
    }


def _written_out(body: Sequence[str]) -> list[str]:
    """In float64 a normalisation is written out, for ONNX has its epsilon as a float32; one has its bias elsewhere."""
    parts = ["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul"]
    several = body.count("LayerNormalization")
    others = [kind for kind in body if kind != "LayerNormalization"]
    return [*others, *several * parts, *["Add"] * (several - 1)]


@each_value(name=list(CASES), dtype=["float32", "float64"])
def test_the_same_and_fast(name: str, dtype: str) -> None:
    torch.manual_seed(0)
    model, signature = CASES[name].build()
    model.eval().to(getattr(torch, dtype))
    inputs = {key: str(spec).replace("float32", dtype) for key, spec in signature.inputs.items()}
    graph, signature = _plain(model, Signature(inputs))
    after = optimized(graph, signature)
    (body,) = bodies(after)
    assert sorted(kinds(body)) == sorted(_written_out(CASES[name].body) if dtype == "float64" else CASES[name].body)
    around = kinds(after.graph)
    place = around.index("Scan")
    assert (around[:place].count("MatMul"), around[place:].count("MatMul")) == (CASES[name].before, CASES[name].after)
    assert ("Gather" in around[:place]) is (name == "scratch")
    for T, N in [(1, 1), (1, 3), (2, 1), (17, 3)]:
        _check(model, graph, after, _inputs(signature, T, N))


def _check(model: nn.Module, graph: ir.Model, after: ir.Model, tensors: dict[str, Tensor]) -> None:
    names = [str(value.name) for value in graph.graph.inputs]
    arrays: dict[str, Any] = dict(zip(names, (tensor.numpy() for tensor in tensors.values()), strict=True))
    with torch.no_grad():
        result = model(*tensors.values())
    expected = result if isinstance(result, tuple) else (result,)
    for one, two, three in zip(run(after, arrays), run(graph, arrays), expected, strict=True):
        check_close(one, two)
        check_close(one, three.numpy())


def test_nan_stays_in_its_sequence() -> None:
    model, signature = CASES["mgu"].build()
    graph, signature = _plain(model.eval(), signature)
    tensors = _inputs(signature, 5, 3)
    tensors["x"][2, 1, 0] = torch.nan
    names = [str(value.name) for value in graph.graph.inputs]
    output, _ = run(optimized(graph, signature), dict(zip(names, (t.numpy() for t in tensors.values()), strict=True)))
    assert np.isnan(output[2:, 1]).all()
    assert np.isfinite(np.delete(output, 1, axis=1)).all()
    assert np.isfinite(output[:2]).all()
