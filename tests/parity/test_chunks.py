"""Chunked runs: models that stream pass; models that mix time steps, and faults planted in states, are caught."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from combinations import each_value
from conftest import LOOPS, SMALL
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from planting import plant
from rnn_export import CaptureError, InterfaceError, Report, Signature, export_onnx, load, read_bundle, verify
from rnn_export.bundle.manifest import CASES, read_manifest, write_manifest
from rnn_export.parity.cases import DRIFT
from rnn_export.parity.chunks import Chunked, describe_chunks, random_lengths
from rnn_export.parity.report import CaseResult
from rnn_export.pytorch.samples import Case
from rnn_export.runtimes.placement import Placement
from rnn_export.spec.streams import State, StreamSpec
from torch import Tensor, nn

Fault = Callable[[onnx.GraphProto], None]
CELLS = ["rnn_tanh", "rnn_relu", "gru", "lstm"]
LIBRARY = [name for name in SMALL if name not in LOOPS]


def export(model: nn.Module, spec: str, out: Path) -> Report:
    report = export_onnx(model, Signature({"x": spec}), out, stateful=True).report
    assert report is not None
    return report


@each_value(name=LIBRARY, cell=CELLS)
def test_every_variant_streams(name: str, cell: str, tmp_path: Path) -> None:
    check_streams(name, {"cell": cell}, tmp_path)


@pytest.mark.parametrize("name", LOOPS)
def test_every_loop_streams(name: str, tmp_path: Path) -> None:
    check_streams(name, {}, tmp_path)


def check_streams(name: str, options: dict[str, str], tmp_path: Path) -> None:
    """Export, and look at how the cases were fed."""
    loaded = load(name, **SMALL[name], **options)
    report = export_onnx(loaded.model, loaded.signature, tmp_path / "out", stateful=True).report
    assert report.passed
    fed = [result for result in report.cases if result.fed]
    drift = [result for result in fed if result.case.sizes["T"] == DRIFT]
    assert [result.fed for result in drift] == [describe_chunks(random_lengths(DRIFT, DRIFT)), "one at a time"]
    assert {result.verdict for result in drift} == {"PASS"}
    assert sum(result.fed == "one at a time" for result in fed) == 13
    assert sum(result.fed == "after a reset" for result in fed) == 1
    assert sum(result.fed.startswith(("as ", "in ")) for result in fed) == 15
    assert {result.case.values for result in fed if result.verdict == "EXPECTED"} <= {"nan", "infinite"}


@pytest.mark.parametrize("name", ["tagger", "classifier", "hetero", "deep", "initial_state"])
@pytest.mark.usefixtures("short_streams")
def test_batch_first(name: str, tmp_path: Path) -> None:
    loaded = load(name, **SMALL[name], cell="gru", batch_first=True)
    assert export_onnx(loaded.model, loaded.signature, tmp_path / "out", stateful=True).report.passed
    manifest = read_bundle(tmp_path / "out")
    assert manifest.signature.inputs["x"].shape == ("N", "T", 3)
    assert {"N" in state.shape for state in manifest.artifacts["model.onnx"].stream.states} == {True}


class OverTime(nn.Module):
    """A recurrent layer followed by something else that mixes time steps; shapes [N, T, ...]."""

    def __init__(self, mixed: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.mixed = mixed

    def forward(self, x: Tensor) -> Tensor:
        return self.mixed(self.rnn(x)[0])


class Attention(nn.MultiheadAttention):
    def forward(self, y: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(y, y, y)[0]


class Convolution(nn.Conv1d):
    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y.transpose(1, 2)).transpose(1, 2)


class Causal(nn.Conv1d):
    def forward(self, y: Tensor) -> Tensor:
        return super().forward(nn.functional.pad(y.transpose(1, 2), (2, 0))).transpose(1, 2)


def pooled(y: Tensor) -> Tensor:
    return (y * torch.softmax(y.sum(-1, keepdim=True), 1)).sum(1)


MIXED: Mapping[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "mean": (lambda y: y.mean(1), "takes a mean over T"),
    "maximum": (lambda y: y.amax(1), "takes the maximum over T"),
    "first step": (lambda y: y[:, 0], "reads single steps by their place in the whole sequence"),
    "flip": (lambda y: y.flip(1), "turns the sequence round"),
    "difference from the mean": (lambda y: y - y.mean(1, keepdim=True), "takes a mean over T"),
    "attention": (Attention(4, 2, batch_first=True), "multiplies every step by every other"),
    "attention pooling": (pooled, "takes a softmax over T"),
}


@pytest.mark.parametrize(("mixed", "message"), MIXED.values(), ids=MIXED)
def test_models_that_mix_time_steps_are_refused(
    mixed: Callable[[Tensor], Tensor], message: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    with pytest.raises(CaptureError, match=message) as error:
        export(OverTime(mixed), "float32[N, T, 3]", tmp_path / "out")
    assert error.value.exit_code == 2
    assert not (tmp_path / "out").exists()


REMEMBERED: Mapping[str, Callable[[Tensor], Tensor]] = {
    "cumulative sum": lambda y: y.cumsum(1),
    "convolution": Convolution(4, 4, 3, padding=1),
    "causal convolution": Causal(4, 4, 3),
    "shorter convolution": Convolution(4, 4, 3),
}


@pytest.mark.parametrize("remembered", REMEMBERED.values(), ids=REMEMBERED)
@pytest.mark.usefixtures("short_streams")
def test_what_remembers_steps_streams(remembered: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert export(OverTime(remembered), "float32[N, T, 3]", tmp_path / "out").passed


@pytest.mark.usefixtures("short_streams")
def test_what_the_export_does_not_see_verification_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the graph cannot be run at the sizes that are tried."""
    monkeypatch.setattr("rnn_export.optimize.stateful.make_causal", lambda *given: None)
    torch.manual_seed(0)
    with pytest.raises(CaptureError, match="right in one pass but not in chunks: it mixes time steps") as error:
        export(OverTime(Causal(4, 4, 3)), "float32[N, T, 3]", tmp_path / "out")
    assert "The first difference is at time step 1." in str(error.value)
    assert "fed one at a time" in str(error.value) or "fed as " in str(error.value)


STEPWISE: Mapping[str, Callable[[Tensor], Tensor]] = {
    "normalization": nn.LayerNorm(4),
    "last step": lambda y: y[:, -1],
    "maximum of each step": lambda y: y.amax(-1),
    "pointwise convolution": Convolution(4, 4, 1),
    "flattened by step": lambda y: y.transpose(0, 1).reshape(-1, 4),
    "flattened by sequence": lambda y: y.reshape(-1, 4),
    "decisions": lambda y: y.argmax(-1),
}


@pytest.mark.parametrize("stepwise", STEPWISE.values(), ids=STEPWISE)
@pytest.mark.usefixtures("short_streams")
def test_operators_within_a_time_step_stream(stepwise: Callable[[Tensor], Tensor], tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert export(OverTime(stepwise), "float32[N, T, 3]", tmp_path / "out").passed
    assert states_of(tmp_path / "out") == {"rnn.h0": "rnn.h_n"}


def states_of(bundle: Path) -> dict[str, str]:
    stream = read_bundle(bundle).artifacts["model.onnx"].stream
    return {state.name: state.output for state in stream.states}


class Integrator(nn.Module):
    """Sums its inputs, so rounding errors accumulate."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 4, nonlinearity="relu")
        nn.init.eye_(self.rnn.weight_hh_l0)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


class Chaotic(nn.Module):
    """Two sequences that differ by a rounding error are far apart after 2,000 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 32)
        nn.init.normal_(self.rnn.weight_hh_l0, std=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


@pytest.mark.parametrize("model", [Integrator, Chaotic])
def test_growing_errors_are_compared_with_pytorchs(model: Callable[[], nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    report = export(model(), "float32[T, N, 3]", tmp_path / "out")
    assert report.passed
    stored = safetensors.numpy.load_file(tmp_path / "out" / CASES)
    drift, early = (stored[f"ordinary-T{T}-N1/limits/model.onnx/output"].max() for T in (DRIFT, 1))
    assert drift > 10 * early


class Heads(nn.Module):
    """Returns the states of single layers, all of them, and a result of the last."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y, (h, c) = self.rnn(x)
        return {"last": self.head(h[-1]), "first": h[0], "c": c, "y": y}


class Translator(nn.Module):
    """An encoder over T that is fed in chunks, and a decoder over S that starts from the encoder's state."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.GRU(3, 4), nn.GRU(2, 4)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.decoder(z, self.encoder(x)[1])[0]


@pytest.mark.usefixtures("short_streams")
def test_states_that_are_also_outputs(tmp_path: Path) -> None:
    assert export(Heads(), "float32[T, N, 3]", tmp_path / "out").passed
    assert states_of(tmp_path / "out") == {
        f"rnn.{k}.{letter}0": f"rnn.{k}.{letter}_n" for k in range(3) for letter in "hc"
    }
    assert [*read_bundle(tmp_path / "out").outputs] == ["last", "first", "c", "y"]


@pytest.mark.usefixtures("short_streams")
def test_another_length_is_not_cut(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]", "z": "float32[S, N, 2]"})
    assert export_onnx(Translator(), signature, tmp_path / "out", stateful=True).report.passed
    assert states_of(tmp_path / "out") == {"encoder.h0": "encoder.h_n"}


@settings(max_examples=settings().max_examples // 8)
@given(
    cell=st.sampled_from(CELLS),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3)),
    bias=st.booleans(),
    batch_first=st.booleans(),
    double=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_layer_streams(
    cell: str, sizes: tuple[int, int, int], bias: bool, batch_first: bool, double: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    kind = {"gru": nn.GRU, "lstm": nn.LSTM}.get(cell, nn.RNN)
    option = {"nonlinearity": cell.removeprefix("rnn_")} if kind is nn.RNN else {}
    model = kind(*sizes, bias=bias, batch_first=batch_first, **option)
    dtype = "float64" if double else "float32"
    spec = f"{dtype}[{'N, T' if batch_first else 'T, N'}, {sizes[0]}]"
    with tempfile.TemporaryDirectory() as folder:
        report = export_onnx(model.to(getattr(torch, dtype)), Signature({"x": spec}), folder, stateful=True, seed=seed)
        states = states_of(Path(folder))
    assert report.report.passed
    assert len(states) == sizes[2] * (2 if cell == "lstm" else 1)


def node(graph: onnx.GraphProto, index: int) -> onnx.NodeProto:
    return [node for node in graph.node if node.op_type == "LSTM"][index]


def output_from(graph: onnx.GraphProto, name: str, source: str) -> None:
    """Replace a final state by another tensor."""
    for entry in graph.node:
        entry.output[:] = [f"{output}.unused" if output == name else output for output in entry.output]
    graph.node.append(onnx.helper.make_node("Identity", [source], [name]))


def ignore_a_state(graph: onnx.GraphProto) -> None:
    node(graph, 0).input[5] = ""


def ignore_a_cell_state(graph: onnx.GraphProto) -> None:
    node(graph, 1).input[6] = ""


def swap_h_and_c(graph: onnx.GraphProto) -> None:
    layer = node(graph, 1)
    layer.output[1], layer.output[2] = layer.output[2], layer.output[1]


def swap_layers(graph: onnx.GraphProto) -> None:
    first, second = node(graph, 0), node(graph, 1)
    first.output[1], second.output[1] = second.output[1], first.output[1]


def stuck(graph: onnx.GraphProto) -> None:
    output_from(graph, "rnn.0.h_n", "rnn.0.h0")


def share_a_state(graph: onnx.GraphProto) -> None:
    node(graph, 1).input[5] = node(graph, 0).input[5]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    loaded = load("tagger", **SMALL["tagger"], cell="lstm")
    out = tmp_path_factory.mktemp("stream") / "out"
    export_onnx(loaded.model, loaded.signature, out, source=loaded.source, stateful=True)
    return out


def changed(bundle: Path, out: Path, fault: Fault) -> Path:
    """The bundle with another graph and matching hashes."""
    out.mkdir()
    for file in bundle.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    plant(out, lambda model: fault(model.graph))
    return out


@pytest.mark.parametrize(
    "fault", [ignore_a_state, ignore_a_cell_state, swap_h_and_c, swap_layers, stuck, share_a_state]
)
@pytest.mark.usefixtures("short_streams")
def test_a_fault_in_a_state_is_caught(fault: Fault, bundle: Path, tmp_path: Path) -> None:
    (report,) = verify(changed(bundle, tmp_path / "faulty", fault), seed=0).reports
    assert not report.passed
    assert report.mixes_steps
    assert "The first difference is at time step 1." in report.failure
    assert report.to_json()["cases"][-1]["fed"]


@pytest.mark.usefixtures("short_streams")
def test_an_intact_bundle_passes_fresh_cases(bundle: Path, tmp_path: Path) -> None:
    verification = verify(changed(bundle, tmp_path / "same", lambda graph: None))
    assert (verification.how, verification.passed) == ("rebuilt", True)
    assert sum(bool(result.fed) for result in verification.reports[0].cases) == 29


@pytest.mark.usefixtures("short_streams")
def test_wrong_reset_values_are_caught(bundle: Path, tmp_path: Path) -> None:
    out = changed(bundle, tmp_path / "faulty", lambda graph: None)
    manifest = read_manifest(out)
    artifact = manifest.artifacts["model.onnx"]
    states = (replace(artifact.stream.states[0], reset=0.25), *artifact.stream.states[1:])
    wrong = {"model.onnx": structs.replace(artifact, stream=StreamSpec.of(artifact.stream.time, states))}
    write_manifest(out, structs.replace(manifest, artifacts=wrong))
    with pytest.raises(InterfaceError, match="its metadata has rnn_export.states"):
        verify(out, seed=0)


def test_stored_cases_are_replayed_in_chunks(tmp_path: Path) -> None:
    export(nn.GRU(3, 4), "float32[T, N, 3]", tmp_path / "out")
    verification = verify(tmp_path / "out")
    assert (verification.how, verification.passed) == ("replayed", True)
    fed = [result for result in verification.reports[0].cases if result.fed]
    assert max(result.case.sizes["T"] for result in fed) == DRIFT


@pytest.mark.parametrize(
    ("failing", "mixes"),
    [
        ([(7, "one at a time")], True),
        ([(7, "one at a time"), (2000, "one at a time")], True),
        ([(2000, "one at a time")], False),
        ([(7, "")], False),
        ([(7, ""), (7, "one at a time")], False),
        ([], False),
    ],
)
def test_when_a_failure_in_chunks_means_mixed_time_steps(failing: list[tuple[int, str]], mixes: bool) -> None:
    """If one pass fails too, or only the longest sequence does, the model does not mix time steps."""
    cases = [
        CaseResult(Case({"T": T}, "ordinary", 0), (), "FAIL" if (T, fed) in failing else "PASS", fed=fed)
        for T in (7, 2000)
        for fed in ("", "one at a time")
    ]
    report = Report("model.onnx", "onnxruntime:cpu", Placement("cpu", ""), "float64", 0, {"T": 7}, cases)
    assert report.passed == (not failing)
    assert report.mixes_steps == mixes


class Counting:
    """A session without a model, which sums time steps and records what it was fed."""

    hides_nan = ""
    spreads_nan = False

    def __init__(self) -> None:
        self.fed: list[list[int]] = []

    def placement(self) -> Placement:
        return Placement("cpu", "")

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        x, total = inputs["x"], inputs["sum0"]
        self.fed.append([int(value) for value in x[0, :, 0]])
        sums = np.cumsum(np.concatenate([total[:, None], x], 1), 1)[:, 1:]
        return {"sums": sums, "flat": sums.reshape(-1, 1), "last": sums[:, -1], "sum_n": sums[:, -1]}


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=8), N=st.integers(1, 4), after_reset=st.booleans())
def test_chunks_cover_the_sequence_in_order(lengths: list[int], N: int, after_reset: bool) -> None:
    signature = Signature({"x": "float32[N, T, 1]"}, ["sums", "flat", "last"])
    stream = StreamSpec.of("T", (State("sum0", "sum_n", "float32", ("N", 1), 10.0),))
    session = Counting()
    dims = {"sums": ("N", "T", 1), "flat": ("N*T", 1), "last": ("N", 1)}
    chunked = Chunked(session, stream, signature, dims, lambda T: lengths, after_reset)
    T = sum(lengths)
    x = np.arange(N * T, dtype=np.float32).reshape(N, T, 1)
    got = chunked.run({"x": x})
    assert [len(steps) for steps in session.fed] == lengths * (2 if after_reset else 1)
    assert [step for steps in session.fed[-len(lengths) :] for step in steps] == list(range(T))
    sums = 10 + np.cumsum(x, 1)
    assert np.array_equal(got["sums"], sums)
    assert np.array_equal(got["flat"], sums.reshape(-1, 1))
    assert np.array_equal(got["last"], sums[:, -1])


@given(T=st.integers(2, 300), seed=st.integers(0, 2**32 + 2_000))
def test_random_lengths_add_up(T: int, seed: int) -> None:
    lengths = random_lengths(T, seed)
    assert sum(lengths) == T
    assert len(lengths) >= 2
    assert min(lengths) >= 1
    assert lengths == random_lengths(T, seed)


@pytest.mark.usefixtures("short_streams")
def test_a_torchscript_file_in_the_same_bundle_has_no_stream(tmp_path: Path) -> None:
    from rnn_export import export_torchscript

    loaded = load("single", **SMALL["single"])
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", source=loaded.source, stateful=True)
    export_torchscript(loaded.model, loaded.signature, tmp_path / "out", source=loaded.source)
    artifacts = read_bundle(tmp_path / "out").artifacts
    assert {name: artifact.stream is not None for name, artifact in artifacts.items()} == {
        "model.onnx": True,
        "model.pt": False,
    }
    assert verify(tmp_path / "out").passed
