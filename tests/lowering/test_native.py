"""The parity matrix: every library layer, with every option, comes out as native operators and computes the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from combinations import BOTH, combinations
from hypothesis import given, settings
from hypothesis import strategies as st
from rnn_export import Signature, export_onnx
from rnn_export.lowering.native import GATE_ORDER, onnx_weights
from rnn_export.spec.forms import LOWERINGS, Lowering
from torch import Tensor, nn

CELLS = {
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}
OP_TYPES = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "gru": "GRU", "lstm": "LSTM"}
I, H = 3, 4  # noqa: E741  the field's names


class WithStates(nn.Module):
    """A layer whose initial states are separate inputs."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor | None = None) -> Any:
        return self.rnn(x, h0 if c0 is None else (h0, c0))


def build(cell: str, layers: int, given_states: bool, **options: bool) -> tuple[nn.Module, Signature]:
    torch.manual_seed(0)
    rnn = CELLS[cell](I, H, layers, **options)
    inputs = {"x": f"float32[N, T, {I}]" if options["batch_first"] else f"float32[T, N, {I}]"}
    if not given_states:
        return rnn, Signature(inputs)
    states = ("h0", "c0") if cell == "lstm" else ("h0",)
    count = layers * (2 if options["bidirectional"] else 1)
    inputs |= dict.fromkeys(states, f"float32[{count}, N, {H}]")
    names = ["output", "h_n", "c_n"][: 1 + len(states)]
    return WithStates(rnn), Signature(inputs, names, dict(zip(states, names[1:], strict=True)))


@combinations(cell=CELLS, layers=(1, 3), bidirectional=BOTH, batch_first=BOTH, bias=BOTH, given_states=BOTH)
def test_matrix(
    cell: str, layers: int, bidirectional: bool, batch_first: bool, bias: bool, given_states: bool, tmp_path: Path
) -> None:
    model, signature = build(
        cell, layers, given_states, bidirectional=bidirectional, batch_first=batch_first, bias=bias
    )
    exported = export_onnx(model, signature, tmp_path / "out", lowering="native")
    assert exported.report is not None
    assert exported.report.passed
    assert exported.report.reference == "float64"
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds[OP_TYPES[cell]] == layers
    assert set(kinds) <= {OP_TYPES[cell], "Squeeze", "Transpose", "Reshape", "Concat", "Split"}
    used = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= used


@settings(max_examples=settings().max_examples // 5)
@given(
    cell=st.sampled_from(sorted(CELLS)),
    layers=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    lowering=st.sampled_from(LOWERINGS),
    seed=st.integers(0, 2**20),
)
def test_any_architecture(
    cell: str,
    layers: int,
    sizes: tuple[int, int],
    flags: tuple[bool, bool, bool],
    lowering: Lowering,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    torch.manual_seed(seed)
    bidirectional, batch_first, bias = flags
    rnn = CELLS[cell](*sizes, layers, bidirectional=bidirectional, batch_first=batch_first, bias=bias)
    shape = f"[N, T, {sizes[0]}]" if batch_first else f"[T, N, {sizes[0]}]"
    out = tmp_path_factory.mktemp("any") / "out"
    assert export_onnx(rnn, Signature({"x": f"float32{shape}"}), out, seed=seed, lowering=lowering).report.passed
    kinds = Counter(node.op_type for node in onnx.load(out / "model.onnx").graph.node)
    layer_nodes = {"Scan": layers * (2 if bidirectional else 1), OP_TYPES[cell]: layers}
    (form,) = kinds.keys() & layer_nodes.keys()
    assert kinds[form] == layer_nodes[form]
    assert lowering == "auto" or (form == "Scan") == (lowering == "scan")


@pytest.mark.parametrize("kind", GATE_ORDER)
def test_weights_are_stacked_and_joined(kind: str) -> None:
    gates = len(GATE_ORDER[kind])
    rows = np.arange(gates * H, dtype=np.float32)
    direction = [np.outer(rows, np.ones(I)), np.outer(rows, np.ones(H)), rows, rows + 100]
    weights = onnx_weights(kind, [direction, direction])
    order = np.concatenate([np.arange(gate * H, gate * H + H) for gate in GATE_ORDER[kind]])
    assert weights.W.shape == (2, gates * H, I)
    assert weights.R.shape == (2, gates * H, H)
    assert weights.B is not None
    np.testing.assert_array_equal(weights.W[1, :, 0], order)
    np.testing.assert_array_equal(weights.B[0], np.concatenate([order, order + 100]))


class Twice(nn.Module):
    """One layer used twice: its weights are stored once."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(I, I)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.rnn(x)[0])[0]


class Raw(nn.Module):
    """`torch.gru` called with parameters of the model's own, whose names say nothing; twice, with other ones."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(3 * I, I), (3 * I, I), (3 * I,), (3 * I,)]
        self.first = nn.ParameterList([torch.randn(shape) for shape in shapes])
        self.second = nn.ParameterList([torch.randn(shape) for shape in shapes])

    def forward(self, x: Tensor) -> Tensor:
        for weights in (self.first, self.second):
            h0 = torch.zeros(1, x.size(1), I)
            x, _ = torch.gru(x, h0, list(weights), True, 1, 0.0, False, False, False)
        return x


def test_a_layer_used_twice_stores_its_weights_once(tmp_path: Path) -> None:
    assert export_onnx(Twice(), Signature({"x": f"float32[T, N, {I}]"}), tmp_path / "out").report.passed
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    assert sum(np.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == 1) == 6 * I * I + 6 * I


def test_layers_whose_weights_have_alike_names_keep_their_own(tmp_path: Path) -> None:
    model = Raw()
    assert export_onnx(model, Signature({"x": f"float32[T, N, {I}]"}), tmp_path / "out").report.passed
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [weights[node.input[1]] for node in graph.node if node.op_type == "GRU"]
    order = [1, 0, 2]
    for found, (weight, *_) in zip(inputs, (model.first, model.second), strict=True):
        np.testing.assert_array_equal(found[0], np.concatenate([weight.detach().chunk(3)[gate] for gate in order]))


def test_the_last_state_is_read_from_its_layer(tmp_path: Path) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(I, H, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x)[1][0][-1]

    assert export_onnx(Last(), Signature({"x": f"float32[T, N, {I}]"}), tmp_path / "out").report.passed
    kinds = [node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node]
    assert "Concat" not in kinds
    assert kinds.count("Squeeze") == 2


@pytest.mark.parametrize("cell", CELLS)
def test_half_precision(cell: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CELLS[cell](I, H, 2).half()
    exported = export_onnx(model, Signature({"x": f"float16[T, N, {I}]"}), tmp_path / "out")
    assert exported.report.passed
    assert exported.report.reference == "float64"
