"""Hidden states become inputs and outputs: names, shapes, reset values, what is left alone and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from conftest import LOOPS, SMALL
from rnn_export import CaptureError, Signature, export_onnx, load, read_bundle, recur
from rnn_export.errors import UnavailableError
from rnn_export.optimize.stateful import expose_states
from rnn_export.spec.streams import StreamSpec
from torch import Tensor, nn

pytestmark = pytest.mark.usefixtures("short_streams")

X = "float32[T, N, 3]"


def stream_of(model: nn.Module, inputs: dict[str, str], out: Path, **options: Any) -> StreamSpec:
    """Export, which proves it, and read how the file is fed."""
    torch.manual_seed(0)
    assert export_onnx(model, Signature(inputs), out, stateful=True, **options).report.passed
    stream = read_bundle(out).artifacts["model.onnx"].stream
    assert stream is not None
    return stream


class Learned(nn.Module):
    """Starts from a parameter."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 2, layers)
        self.h0 = nn.Parameter(torch.arange(2.0 * layers).reshape(layers, 1, 2) / 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, self.h0.expand(-1, x.size(1), -1).contiguous())[0]


class Ones(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        ones = torch.ones(1, x.size(1), 4, dtype=x.dtype)
        return self.rnn(x, (ones, torch.full_like(ones, 0.5)))[0]


class Bands(nn.Module):
    """A bidirectional layer over the F bands of a step, then one over time for each band."""

    def __init__(self) -> None:
        super().__init__()
        self.across = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.along = nn.LSTM(8, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        N, T, F, _ = x.shape
        y = self.across(x.flatten(0, 1))[0].reshape(N, T, F, 8).transpose(1, 2)
        return self.along(y.flatten(0, 1))[0].reshape(N, F, T, 4).transpose(1, 2)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.rnn(x)[0])[0]


class HalfGiven(nn.Module):
    """Takes and returns one state, and hides another."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.GRU(3, 4)
        self.second = nn.GRU(4, 5)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        y, after = self.first(x, before)
        return self.second(y)[0], after


def test_names_of_every_variant(tmp_path: Path) -> None:
    names = {}
    for name in SMALL:
        loaded = load(name, **SMALL[name], **({} if name in LOOPS else {"cell": "lstm"}))
        export_onnx(loaded.model, loaded.signature, tmp_path / name, stateful=True, verify=False)
        stream = read_bundle(tmp_path / name).artifacts["model.onnx"].stream
        names[name] = {state.name: state.output for state in stream.states}
    layers = {f"rnn.{k}.{letter}0": f"rnn.{k}.{letter}_n" for k in range(3) for letter in "hc"}
    two = {name: layers[name] for name in list(layers)[:4]}
    assert names == {
        "scratch": {"h0": "h_n"},
        "single": {"rnn.h0": "rnn.h_n", "rnn.c0": "rnn.c_n"},
        "deep": layers,
        "classifier": two,
        "tagger": two,
        "initial_state": {"h0": "h_n", "c0": "c_n"},
        "hetero": layers,
        "layernorm_lstm": {"cell.0.h0": "cell.0.h_n", "cell.1.h0": "cell.1.h_n"},
        "mgu": {"h0": "h_n"},
    }


def test_the_file_has_the_states_and_their_contract(tmp_path: Path) -> None:
    stream_of(nn.LSTM(3, 4), {"x": X}, tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "model.onnx")
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    state = [1, "N", 4]
    assert shapes == {
        "x": ["T", "N", 3],
        **{"rnn.h0": state, "rnn.c0": state},
        "output": ["T", "N", 4],
        **{"h_n": state, "c_n": state},
        **{"rnn.h_n": state, "rnn.c_n": state},
    }
    assert not {tensor.name for tensor in model.graph.initializer} & {*shapes}
    (layer,) = (node for node in model.graph.node if node.op_type == "LSTM")
    assert list(layer.input[5:7]) == ["rnn.h0", "rnn.c0"]
    assert list(layer.output[1:]) == ["rnn.h_n", "rnn.c_n"]
    properties = {entry.key.removeprefix("rnn_export."): entry.value for entry in model.metadata_props}
    assert properties["time"] == "T"
    assert properties["state_inputs"] == "rnn.h0,rnn.c0"
    assert properties["state_outputs"] == "rnn.h_n,rnn.c_n"
    assert properties["reset.rnn.h0"] == properties["reset.rnn.c0"] == "0"
    described = {"dtype": "float32", "shape": [1, "N", 4], "reset": 0}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert json.loads(properties["states"]) == manifest["artifacts"]["model.onnx"]["stream"]["states"]
    assert json.loads(properties["states"])["rnn.c0"] == {"output": "rnn.c_n", **described}


def test_a_state_that_is_forgotten_is_an_error(tmp_path: Path) -> None:
    stream_of(nn.GRU(3, 4), {"x": X}, tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    with pytest.raises(ValueError, match="Required inputs .*rnn.h0.* are missing"):
        session.run(None, {"x": np.zeros((2, 1, 3), np.float32)})


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_learned_initial_state_is_the_reset_value(layers: int, dtype: str, tmp_path: Path) -> None:
    model = Learned(layers).to(getattr(torch, dtype))
    stream = stream_of(model, {"x": f"{dtype}[T, N, 3]"}, tmp_path / "out")
    for state, row in zip(stream.states, model.h0.detach().numpy(), strict=True):
        assert np.array_equal(state.initial({"T": 1, "N": 2}).reshape(2, 2), np.repeat(row, 2, axis=0))
    graph = onnx.load(tmp_path / "out" / "model.onnx").graph
    assert not {"Expand", "Shape", "Split", "ConstantOfShape"} & {node.op_type for node in graph.node}
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "out" / "model.onnx").metadata_props}
    written = [
        np.dtype(dtype).type(text) for text in properties[f"rnn_export.reset.{stream.states[0].name}"].split(",")
    ]
    assert written == model.h0[0, 0].tolist()


def test_one_sequence_of_a_batch_is_reset_alone(tmp_path: Path) -> None:
    model = Learned(1)
    (state,) = stream_of(model, {"x": X}, tmp_path / "out").states
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    x = torch.randn(6, 2, 3)
    reset = state.initial({"T": 1, "N": 2})
    _, carried = session.run(None, {"x": x[:4].numpy(), state.name: reset})
    carried[:, 0] = reset[:, 0]
    after, _ = session.run(None, {"x": x[4:].numpy(), state.name: carried})
    with torch.no_grad():
        np.testing.assert_allclose(after[:, 0], model(x[4:])[:, 0], atol=1e-6)
        np.testing.assert_allclose(after[:, 1], model(x)[4:, 1], atol=1e-6)


def test_a_constant_initial_state(tmp_path: Path) -> None:
    stream = stream_of(Ones(), {"x": X}, tmp_path / "out")
    assert {state.name: state.reset for state in stream.states} == {"rnn.h0": 1.0, "rnn.c0": 0.5}


@pytest.mark.parametrize(("bands", "size"), [("6", "6*N"), ("F", "N*F")])
def test_a_layer_within_a_time_step_keeps_its_state(bands: str, size: str, tmp_path: Path) -> None:
    stream = stream_of(Bands(), {"x": f"float32[N, T, {bands}, 3]"}, tmp_path / "out")
    assert [(state.name, state.shape) for state in stream.states] == [
        ("along.h0", (1, size, 4)),
        ("along.c0", (1, size, 4)),
    ]


def test_time_may_have_another_name(tmp_path: Path) -> None:
    stream = stream_of(nn.GRU(3, 4, batch_first=True), {"x": "float32[batch, frames, 3]"}, tmp_path / "out")
    assert stream.time == "frames"
    assert stream.states[0].shape == (1, "batch", 4)


@pytest.mark.parametrize(("spec", "shape"), [("float32[T, 3]", (1, 1, 4)), ("float32[T, 2, 3]", (1, 2, 4))])
def test_a_batch_that_is_not_dynamic(spec: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    assert stream_of(nn.GRU(3, 4), {"x": spec}, tmp_path / "out").states[0].shape == shape


def test_a_layer_used_twice_has_two_states(tmp_path: Path) -> None:
    stream = stream_of(Twice(), {"x": X}, tmp_path / "out")
    assert [state.name for state in stream.states] == ["rnn.h0", "rnn_1.h0"]


@pytest.mark.parametrize("opset", [17, 22, 28])
def test_opsets(opset: int, tmp_path: Path) -> None:
    stream = stream_of(Learned(2), {"x": X}, tmp_path / "out", opset=opset)
    assert [state.name for state in stream.states] == ["rnn.0.h0", "rnn.1.h0"]


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_scans_have_states_too(cell: Callable[..., nn.Module], tmp_path: Path) -> None:
    stream = stream_of(cell(3, 4, 2).double(), {"x": "float64[T, N, 3]"}, tmp_path / "out")
    letters = "hc" if cell is nn.LSTM else "h"
    assert [state.name for state in stream.states] == [f"rnn.{k}.{letter}0" for k in range(2) for letter in letters]
    assert {(state.dtype, state.shape) for state in stream.states} == {("float64", ("N", 4))}


def test_a_state_that_the_model_takes_itself_stays(tmp_path: Path) -> None:
    given = Signature({"x": X, "before": "float32[1, N, 4]"}, ["y", "after"], {"before": "after"})
    export_onnx(HalfGiven(), given, tmp_path / "out", stateful=True)
    stream = read_bundle(tmp_path / "out").artifacts["model.onnx"].stream
    assert [(state.name, state.output) for state in stream.states] == [("before", "after"), ("second.h0", "second.h_n")]


def test_names_alone_pair_a_state(tmp_path: Path) -> None:
    signature = Signature({"x": X, "h0": "float32[1, N, 4]"}, ["y", "h_n"])
    export_onnx(HalfGiven(), signature, tmp_path / "out", stateful=True)
    assert read_bundle(tmp_path / "out").artifacts["model.onnx"].stream.states[0].output == "h_n"


def test_names_that_are_taken_are_not_used_again(tmp_path: Path) -> None:
    signature = Signature({"rnn.h0": X}, ["output", "rnn.h_n"])
    export_onnx(nn.GRU(3, 4), signature, tmp_path / "out", stateful=True)
    stream = read_bundle(tmp_path / "out").artifacts["model.onnx"].stream
    assert [(state.name, state.output) for state in stream.states] == [("rnn_1.h0", "rnn_1.h_n")]


class Cells(nn.Module):
    """Two cells of different kinds, a running maximum that begins at minus infinity, and a count."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(3, 4), nn.GRUCell(4, 5)

    def forward(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, c, g, top, steps = state
        h, c = self.first(x, (h, c))
        g = self.second(h, g)
        top, steps = torch.maximum(top, g), steps + 1
        return top * g / steps, (h, c, g, top, steps)


class Looped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = Cells()

    def forward(self, x: Tensor) -> Tensor:
        h, g = x.new_zeros(x.size(1), 4), x.new_zeros(x.size(1), 5)
        return recur(self.cell, x, (h, h.clone(), g, g - torch.inf, x.new_zeros(())))[0]


class Rolled(nn.Module):
    """Two cells in a plain Python loop, the states in a list; `backwards` goes from the end."""

    def __init__(self, backwards: bool) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(3, 4), nn.LSTMCell(4, 4)])
        self.backwards = backwards

    def forward(self, x: Tensor) -> Tensor:
        zero = x.new_zeros(x.size(1), 4)
        states = [(zero, zero)] * 2
        outputs = []
        for t in reversed(range(x.size(0))) if self.backwards else range(x.size(0)):
            y = x[t]
            for k, cell in enumerate(self.cells):
                states[k] = cell(y, states[k])
                y = states[k][0]
            outputs.append(y)
        return torch.stack(outputs[::-1] if self.backwards else outputs)


def test_a_rolled_loop_streams(tmp_path: Path) -> None:
    stream = stream_of(Rolled(backwards=False), {"x": X}, tmp_path / "out")
    assert {state.name: state.output for state in stream.states} == {
        f"cells.{k}.{letter}0": f"cells.{k}.{letter}_n" for k in range(2) for letter in "hc"
    }


def test_a_rolled_loop_from_the_end_does_not(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="is bidirectional or reversed, so it starts at the end"):
        export_onnx(Rolled(backwards=True), Signature({"x": X}), tmp_path / "out", stateful=True)


class Weighted(nn.Module):
    """A loop over the model's own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.randn(4, 4) / 4)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(1), 4)
        outputs = []
        for step in x:
            h = torch.tanh(step + h @ self.W)
            outputs.append(h)
        return torch.stack(outputs)


def test_the_states_of_a_loop(tmp_path: Path) -> None:
    stream = stream_of(Looped(), {"x": X}, tmp_path / "out")
    assert [(state.name, state.shape, state.reset) for state in stream.states] == [
        ("cell.0.h0", ("N", 4), 0.0),
        ("cell.0.c0", ("N", 4), 0.0),
        ("cell.1.h0", ("N", 5), 0.0),
        ("cell.2.h0", ("N", 5), -math.inf),
        ("cell.3.h0", (), 0.0),
    ]
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "out" / "model.onnx").metadata_props}
    assert properties["rnn_export.reset.cell.2.h0"] == "-Infinity"


class Smoothed(nn.Module):
    """A loop that reads no weights."""

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(1), x.size(2))
        outputs = []
        for step in x:
            h = 0.9 * h + torch.sin(step)
            outputs.append(h)
        return torch.stack(outputs)


def test_a_loop_without_weights_is_named_after_the_module_whose_forward_holds_it(tmp_path: Path) -> None:
    assert stream_of(Smoothed(), {"x": X}, tmp_path / "a").states[0].name == "loop.h0"
    stream = stream_of(nn.Sequential(Smoothed(), nn.Linear(3, 4), Smoothed()), {"x": X}, tmp_path / "b")
    assert [state.name for state in stream.states] == ["0.h0", "2.h0"]


def test_a_loop_is_named_after_what_it_reads(tmp_path: Path) -> None:
    assert stream_of(Weighted(), {"x": "float32[T, N, 4]"}, tmp_path / "a").states[0].name == "loop.h0"
    inner = nn.Sequential(nn.Linear(3, 4), Weighted())
    assert stream_of(inner, {"x": X}, tmp_path / "b").states[0].name == "1.h0"


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(3, 4), nn.GRU(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(x, self.encoder(x)[1])[0]


class PerRow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)
        self.rows = nn.Parameter(torch.randn(1, 300, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x, self.rows[:, : x.size(1)].contiguous())[0]


REFUSED = {
    "bidirectional": (nn.GRU(3, 4, bidirectional=True), {"x": X}, "layer 'rnn' is bidirectional or reversed"),
    "bidirectional Scan": (
        nn.GRU(3, 4, bidirectional=True).double(),
        {"x": "float64[T, N, 3]"},
        "layer 'rnn' is bidirectional or reversed",
    ),
    "no layer": (nn.Linear(3, 4), {"x": X}, "no recurrent layer over T"),
    "fixed time": (nn.GRU(3, 4), {"x": "float32[12, N, 3]"}, "no recurrent layer over a dynamic dimension"),
    "decoder": (Decoder(), {"x": X}, "layer 'decoder' starts from a state computed from 'x'"),
    "unpaired": (
        HalfGiven(),
        {"x": X, "before": "float32[1, N, 4]"},
        "starts from 'before', and no output continues",
    ),
    "a state per row": (PerRow(), {"x": X}, "state of layer 'rnn' does not begin the same for every sequence"),
}


@pytest.mark.parametrize(("model", "inputs", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_stream_is_refused(model: nn.Module, inputs: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=message) as error:
        export_onnx(model, Signature(inputs), tmp_path / "out", stateful=True)
    assert error.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_graph_that_onnx_runtime_cannot_run_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(3, 4, 3))
    with pytest.raises(UnavailableError, match=r"no CPU kernel for Conv in the dtype .* Export a float32 model"):
        export_onnx(model.double(), "x: float64[N, 3, T]", tmp_path / "out", stateful=True)
    export_onnx(model.float(), "x: float32[N, 3, T]", tmp_path / "out", stateful=True)


@pytest.mark.parametrize(
    ("direction", "message"),
    [("forward", "layer 'rnn' reads packed sequences"), ("bidirectional", "layer 'rnn' is bidirectional or reversed")],
)
def test_lengths_of_packed_sequences_are_refused(direction: str, message: str) -> None:
    x, lengths = ir.Value(name="x", shape=ir.Shape(["T", "N", 3])), ir.Value(name="lengths")
    attributes = {"hidden_size": 4, "direction": direction}
    node = ir.node("GRU", [x, None, None, None, lengths], attributes, num_outputs=2, name="rnn.l0")
    graph = ir.Graph([x, lengths], [node.outputs[0]], nodes=[node], opset_imports={"": 18})
    signature = Signature({"x": X, "lengths": "int32[N]"}, ["y"])
    with pytest.raises(CaptureError, match=message):
        expose_states(ir.Model(graph, ir_version=8), signature)
