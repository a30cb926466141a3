"""`Stream`: step by step what one pass gives, in the same buffers, and one sentence for whatever else is fed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from combinations import BOTH, each_value
from conftest import LOOPS, SMALL
from numpy.typing import NDArray
from rnn_export import (
    BundleError,
    InputError,
    Manifest,
    Report,
    Signature,
    Stream,
    export_onnx,
    export_torchscript,
    load,
)
from rnn_export.bundle.files import read_bundle
from rnn_export.parity.cases import cases_for
from rnn_export.parity.chunks import check_stream
from rnn_export.parity.expected import expect
from rnn_export.pytorch.evaluation import evaluating
from rnn_export.runtimes.open import open_session
from rnn_export.runtimes.placement import Placement
from torch import Tensor, nn

Array = NDArray[Any]
LAYERS = [name for name in SMALL if name not in LOOPS]
TRACED = {"T": 7, "N": 5}


def export(model: nn.Module, inputs: dict[str, str], out: Path, **options: Any) -> Path:
    torch.manual_seed(0)
    signature = Signature(inputs, options.pop("outputs", ()), options.pop("states", None))
    export_onnx(model, signature, out, stateful=True, verify=False, **options)
    return out


class Tagger(nn.Module):
    """Shapes: x float32[T, N, I] to [T, N, 2]."""

    def __init__(self, input_size: int = 3, hidden_size: int = 4) -> None:
        super().__init__()
        self.rnn = nn.GRU(input_size, hidden_size, 2)
        self.head = nn.Linear(hidden_size, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0])


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Tagger(), {"x": "float32[T, N, 3]"}, tmp_path_factory.mktemp("stream") / "tagger")


def ordinary(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@dataclass
class Stepping:
    """A `Stream` as a session: single steps go to `step`, longer chunks to `run`; it keeps its own states."""

    bundle: Path
    hides_nan: str
    manifest: Manifest
    streams: dict[tuple[int, ...], Stream] = field(default_factory=dict)
    steps: int = 0
    begun: int = 0
    spreads_nan: bool = False

    def placement(self) -> Placement:
        return Placement("CPUExecutionProvider", "")

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        manifest = self.manifest
        states = manifest.artifacts["model.onnx"].stream.states
        given = {name: inputs[name] for name in manifest.signature.inputs if name not in {s.name for s in states}}
        sizes = {}
        for name, array in given.items():
            sizes |= dict(zip(manifest.signature.inputs[name].shape, array.shape, strict=True))
        sizes = {dim: size for dim, size in sizes.items() if isinstance(dim, str)}
        T, key = sizes.pop("T"), tuple(sizes.values())
        if key not in self.streams:
            first = next(iter(self.streams.values()), None)
            self.streams[key] = first.another(sizes=sizes) if first else Stream(self.bundle, sizes=sizes)
        stream = self.streams[key]
        if not all(np.array_equal(stream.states[s.name], inputs[s.name], equal_nan=True) for s in states):
            stream.states = {s.name: inputs[s.name] for s in states}
            self.begun += 1
        if T > 1:
            got = stream.run(**given)
        else:
            self.steps += 1
            axes = {name: manifest.signature.inputs[name].shape.index("T") for name in given}
            got = stream.step(**{name: array.squeeze(axes[name]) for name, array in given.items()})
        names = [name for name in manifest.outputs if name not in {s.output for s in states}] or [*manifest.outputs]
        named = got if isinstance(got, dict) else dict(zip(names, [got], strict=True))
        dims = {name: manifest.outputs[name].partition("[")[2].rstrip("]").split(", ") for name in named}
        if T == 1:
            named = {
                name: np.expand_dims(array, dims[name].index("T")) if "T" in dims[name] else array
                for name, array in named.items()
            }
        return {**{s.output: stream.states[s.name] for s in states}, **named}


@each_value(name=LAYERS, cell=("rnn_tanh", "gru", "lstm"), dtype=("float32", "float64"), batch_first=BOTH)
def test_every_variant_passes_the_parity_run_step_by_step(
    name: str, cell: str, dtype: str, batch_first: bool, tmp_path: Path
) -> None:
    check_step_by_step(name, dtype, tmp_path / "out", cell=cell, batch_first=batch_first)


@each_value(name=LOOPS, dtype=("float32", "float64"))
def test_every_loop_passes_the_parity_run_step_by_step(name: str, dtype: str, tmp_path: Path) -> None:
    check_step_by_step(name, dtype, tmp_path / "out")


def check_step_by_step(name: str, dtype: str, out: Path, **options: Any) -> None:
    """Export a built-in model, and have `Stream` take the place of a session."""
    loaded = load(name, **SMALL[name], **options)
    specs = {key: str(spec).replace("float32", dtype) for key, spec in loaded.signature.inputs.items()}
    signature = Signature(specs, loaded.signature.outputs, loaded.signature.states)
    export_onnx(loaded.model.to(getattr(torch, dtype)), signature, out, stateful=True, verify=False)
    manifest = read_bundle(out)
    artifact = manifest.artifacts["model.onnx"]
    session = Stepping(out, open_session("onnxruntime:cpu", out / "model.onnx", ()).hides_nan, manifest)
    assert artifact.stream is not None
    with evaluating(loaded.model):
        cases = cases_for([artifact.stream], signature, TRACED, 0, {})
        expected = expect(loaded.model, signature, cases)
        report: Report = check_stream(
            artifact.stream, signature, session, expected, artifact="", runtime="", traced=TRACED, seed=0
        )
    assert report.passed, report.failure
    assert session.steps > 2_000
    assert session.begun < 100
    assert len(session.streams) > 3


def one_pass(folder: Path, x: Array) -> Array:
    """Plain ONNX Runtime on the whole sequence."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    states = read_bundle(folder).artifacts["model.onnx"].stream.states
    feeds = {state.name: state.initial({"N": x.shape[1]}) for state in states}
    return session.run(["output"], {"x": x, **feeds})[0]


def test_steps_are_what_onnx_runtime_gives_bit_for_bit(tagger: Path) -> None:
    session = onnxruntime.InferenceSession(tagger / "model.onnx")
    states = read_bundle(tagger).artifacts["model.onnx"].stream.states
    feeds = {state.name: state.initial({"N": 2}) for state in states}
    stream = Stream(tagger, sizes={"N": 2})
    for x in ordinary(50, 2, 3):
        names = ["output", *(state.output for state in states)]
        got = dict(zip(names, session.run(names, {"x": x[None], **feeds}), strict=True))
        feeds = {state.name: got[state.output] for state in states}
        y = stream.step(x)
        assert y.shape == (2, 2)
        assert np.array_equal(y, got["output"][0])
        assert stream.states.keys() == feeds.keys()
        assert all(np.array_equal(stream.states[name], feeds[name]) for name in feeds)


def test_what_is_returned_is_not_written_to_again(tagger: Path) -> None:
    stream = Stream(tagger)
    first, states = stream.step(ordinary(1, 3)), stream.states
    kept, before = first.copy(), {name: state.copy() for name, state in states.items()}
    first[...] = 0
    for state in states.values():
        state[...] = 7
    second = stream.step(ordinary(1, 3, seed=1))
    again = Stream(tagger)
    assert np.array_equal(again.step(ordinary(1, 3)), kept)
    assert all(np.array_equal(again.states[name], before[name]) for name in before)
    assert np.array_equal(again.step(ordinary(1, 3, seed=1)), second)


def test_steps_and_chunks_of_any_length_may_take_turns(tagger: Path) -> None:
    x = ordinary(40, 2, 3)
    stream = Stream(tagger, sizes={"N": 2})
    parts = [stream.run(x[:1]), stream.step(x[1])[None], stream.run(x[2:20]), stream.step(x=x[20])[None]]
    parts.append(stream.run(x=x[21:]))
    assert np.abs(np.concatenate(parts) - one_pass(tagger, x)).max() < 1e-6


def test_memory_that_is_not_contiguous_is_read_right(tagger: Path) -> None:
    x = np.asfortranarray(ordinary(6, 2, 3))[::-1]
    stream = Stream(tagger, sizes={"N": 2})
    parts = [stream.run(x[:3]), *(stream.step(step)[None] for step in x[3:])]
    assert np.abs(np.concatenate(parts) - one_pass(tagger, np.ascontiguousarray(x))).max() < 1e-6


def test_streams_that_share_a_model_do_not_see_each_other(tagger: Path) -> None:
    x, y = ordinary(30, 1, 3), ordinary(30, 4, 3, seed=1)
    one = Stream(tagger)
    other = one.another(sizes={"N": 4})
    assert other._model is one._model
    both = [(one.step(a), other.step(b)) for a, b in zip(x, y, strict=True)]
    alone, apart = Stream(tagger), Stream(tagger, sizes={"N": 4})
    assert all(np.array_equal(got, alone.step(a)) for (got, _), a in zip(both, x, strict=True))
    assert all(np.array_equal(got, apart.step(b)) for (_, got), b in zip(both, y, strict=True))


def test_streams_that_share_a_model_run_in_threads(tagger: Path) -> None:
    first = Stream(tagger)
    streams = [first, *(first.another() for _ in range(3))]
    sequences = [ordinary(500, 1, 3, seed=seed) for seed in range(4)]
    results: list[list[Array]] = [[] for _ in streams]

    def feed(i: int) -> None:
        results[i].extend(streams[i].step(x) for x in sequences[i])

    threads = [threading.Thread(target=feed, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for sequence, result in zip(sequences, results, strict=True):
        alone = Stream(tagger)
        assert all(np.array_equal(got, alone.step(x)) for got, x in zip(result, sequence, strict=True))


def test_saved_states_are_gone_back_to(tagger: Path) -> None:
    x = ordinary(20, 2, 3)
    stream = Stream(tagger, sizes={"N": 2})
    stream.run(x[:7])
    saved = stream.states
    first = [stream.step(step) for step in x[7:]]
    stream.states = saved
    assert all(np.array_equal(stream.step(step), got) for step, got in zip(x[7:], first, strict=True))
    elsewhere = stream.another()
    elsewhere.states = saved
    saved["rnn.0.h0"][...] = 0
    assert all(np.array_equal(elsewhere.step(step), got) for step, got in zip(x[7:], first, strict=True))


def test_reset_of_all_and_of_some(tagger: Path) -> None:
    x = ordinary(10, 3, 3)
    stream = Stream(tagger, sizes={"N": 3})
    first = [stream.step(step) for step in x]
    stream.reset()
    assert all(np.array_equal(stream.step(step), got) for step, got in zip(x, first, strict=True))
    for rows in (1, [1], np.array([False, True, False]), range(1, 2)):
        before = stream.states
        stream.reset(rows)
        for name, state in stream.states.items():
            assert not state[:, 1].any()
            assert np.array_equal(state[:, [0, 2]], before[name][:, [0, 2]])
        stream.step(x[0])
    before = stream.states
    stream.reset([])
    assert all(np.array_equal(state, before[name]) for name, state in stream.states.items())


def test_reset_values_that_a_model_has_learned(tmp_path: Path) -> None:
    class Learned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 2)
            self.h0 = nn.Parameter(torch.tensor([[[0.25, -0.5]]]))

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x, self.h0.expand(-1, x.size(1), -1).contiguous())[0]

    stream = Stream(export(Learned(), {"x": "float32[T, N, 3]"}, tmp_path / "out"), sizes={"N": 2})
    stream.step(ordinary(2, 3))
    after = stream.states["rnn.h0"]
    stream.reset(rows=0)
    assert stream.states["rnn.h0"][0].tolist() == [[0.25, -0.5], after[0, 1].tolist()]


class Conditioned(nn.Module):
    """Several inputs: tokens over time, a speaker for the whole stream; one state of its own, one hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.first = nn.GRU(5, 4, batch_first=True)
        self.second = nn.LSTM(4, 4, batch_first=True)

    def forward(self, tokens: Tensor, speaker: Tensor, h0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.cat([self.embed(tokens), speaker[:, None].expand(-1, tokens.size(1), -1)], -1)
        y, h_n = self.first(x, h0)
        z = self.second(y)[0]
        return z, z.argmax(-1), h_n


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    inputs = {"tokens": "int64[B, T] in 1..4", "speaker": "float32[B, 2]", "h0": "float32[1, B, 4]"}
    torch.manual_seed(0)
    model = Conditioned()
    out = export(model, inputs, tmp_path / "out", outputs=["z", "best", "h_n"])
    tokens, speaker = np.random.default_rng(0).integers(1, 5, (3, 12)), ordinary(3, 2)
    with torch.no_grad():
        z, best, h_n = model(torch.from_numpy(tokens), torch.from_numpy(speaker), torch.zeros(1, 3, 4))
    stream = Stream(out, sizes={"B": 3})
    steps = [stream.step(tokens[:, t], speaker) for t in range(6)]
    steps += [stream.step(speaker=speaker, tokens=tokens[:, t]) for t in range(6, 12)]
    assert [*steps[0]] == ["z", "best"]
    assert np.abs(np.stack([step["z"] for step in steps], 1) - z.numpy()).max() < 1e-6
    assert np.array_equal(np.stack([step["best"] for step in steps], 1), best.numpy())
    assert {*stream.states} == {"h0", "second.h0", "second.c0"}
    assert np.abs(stream.states["h0"] - h_n.numpy()).max() < 1e-6
    stream.reset()
    whole = stream.run(tokens, speaker=speaker)
    assert np.abs(whole["z"] - z.numpy()).max() < 1e-6


def test_a_model_of_states_alone_returns_them(tmp_path: Path) -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.LSTM(3, 4)

        def forward(self, x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor]:
            return self.rnn(x, (h0, c0))[1]

    inputs = {"x": "float32[T, N, 3]", "h0": "float32[1, N, 4]", "c0": "float32[1, N, 4]"}
    stream = Stream(export(Encoder(), inputs, tmp_path / "out", outputs=["h_n", "c_n"]))
    x = ordinary(5, 1, 3)
    for step in x:
        got = stream.step(step)
        assert np.array_equal(got["h_n"], stream.states["h0"])
        assert np.array_equal(got["c_n"], stream.states["c0"])
        assert got["h_n"].any()
    stream.reset()
    assert np.abs(stream.run(x)["c_n"] - got["c_n"]).max() < 1e-6


def test_a_step_makes_no_array_but_what_it_returns(tmp_path: Path) -> None:
    """numpy tells tracemalloc of its arrays; ONNX Runtime does not, so where it has written is looked at."""
    N, input_size, hidden_size = 64, 300, 500
    out = export(Tagger(input_size, hidden_size), {"x": f"float32[T, N, {input_size}]"}, tmp_path / "out")
    stream = Stream(out, sizes={"N": N})
    x = ordinary(N, input_size)
    # What else the process does now and then is not the step's: an array of its own would show every time.
    assert min(most_held(lambda: stream.step(x)) for _ in range(3)) < 10_000
    assert most_held(lambda: stream.states) > 4 * N * hidden_size
    buffers = stream._buffers
    places = [{state.ctypes.data for state in half.values()} for half in buffers.states]
    assert not places[0] & places[1]
    for _ in range(4):
        turn = stream._turn
        stream.step(x)
        assert stream._turn == 1 - turn
        assert [{state.ctypes.data for state in half.values()} for half in buffers.states] == places
        written = {value.data_ptr() for value in buffers.bindings[turn].get_outputs()}
        assert written == {buffers.results[turn]["output"].ctypes.data} | places[1 - turn]


def most_held(call: Callable[[], Any]) -> int:
    """The most bytes that Python held, beyond those at the beginning, while something was called 100 times."""
    tracemalloc.start()
    try:
        call()
        tracemalloc.reset_peak()
        begin = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            call()
        return tracemalloc.get_traced_memory()[1] - begin
    finally:
        tracemalloc.stop()


WRONG_STEPS: list[tuple[Any, str]] = [
    (ordinary(3, 2, 3), "A step takes 'x' as [N=2, 3], not [3, 2, 3]. A step has no dimension T; use run for a chunk."),
    (ordinary(1, 2, 3), "A step takes 'x' as [N=2, 3], not [1, 2, 3]. A step has no dimension T; use run for a chunk."),
    (ordinary(1, 3), "as [N=2, 3], not [1, 3]. Other sizes are given when a stream is made, such as sizes={'N': 2}."),
    (ordinary(3), "A step takes 'x' as [N=2, 3], not [3]. Other sizes are given"),
    (ordinary(2, 3).astype(float), "Input 'x' is float64, and the model takes float32. Give it as float32."),
    (np.zeros((2, 3), ">f4"), "Input 'x' is >f4, and the model takes float32. Give it as float32."),
    (torch.zeros(2, 3), "Input 'x' is a Tensor, and not a numpy array. Give one of float32."),
    ([[0.0] * 3] * 2, "Input 'x' is a list, and not a numpy array. Give one of float32."),
    (None, "Input 'x' is a NoneType, and not a numpy array. Give one of float32."),
]


@pytest.mark.parametrize(("given", "message"), WRONG_STEPS)
def test_what_is_no_step(given: Any, message: str, tagger: Path) -> None:
    stream = Stream(tagger, sizes={"N": 2})
    stream.step(ordinary(2, 3))
    before = stream.states
    for feed in ({}, {"x": given}):
        with pytest.raises(InputError) as error:
            stream.step(**feed) if feed else stream.step(given)
        assert message in str(error.value)
    assert all(np.array_equal(state, before[name]) for name, state in stream.states.items())


WRONG_CHUNKS: list[tuple[Any, str]] = [
    (ordinary(2, 3), "A chunk takes 'x' as [T, N=2, 3], not [2, 3]. Use step for one time step."),
    (ordinary(4, 1, 3), "A chunk takes 'x' as [T=4, N=2, 3], not [4, 1, 3]. Other sizes are given when"),
    (ordinary(0, 2, 3), "The chunk has no time step. Feed at least one."),
    (ordinary(4, 2, 3).astype(np.float16), "Input 'x' is float16, and the model takes float32."),
    (torch.zeros(4, 2, 3), "Input 'x' is a Tensor, and not a numpy array."),
]


@pytest.mark.parametrize(("given", "message"), WRONG_CHUNKS)
def test_what_is_no_chunk(given: Any, message: str, tagger: Path) -> None:
    with pytest.raises(InputError) as error:
        Stream(tagger, sizes={"N": 2}).run(given)
    assert message in str(error.value)


X = np.zeros((1, 3), np.float32)
WRONG_CALLS: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "Input 'x' is missing; it is float32[T, N, 3]. Give every input with every step and chunk."),
    ((), {"X": X}, "There is no input 'X'. Did you mean 'x'? Inputs are x."),
    ((X, X), {}, "2 inputs are given, and the model takes x. Give those."),
    ((X,), {"x": X}, "Input 'x' is given twice, by its place and by its name. Give it once."),
    ((X,), {"y": X}, "There is no input 'y'."),
    ((), {"x": X, "y": X}, "There is no input 'y'."),
    ((X,), {"rnn.0.h0": X}, "'rnn.0.h0' is a state, which the stream keeps. Assign to its states to change one."),
]


@pytest.mark.parametrize(("arrays", "named", "message"), WRONG_CALLS)
@pytest.mark.parametrize("method", ["step", "run"])
def test_wrong_calls(arrays: tuple[Any, ...], named: dict[str, Any], message: str, method: str, tagger: Path) -> None:
    with pytest.raises(InputError) as error:
        getattr(Stream(tagger), method)(*arrays, **named)
    assert message in str(error.value)


def test_inputs_of_unlike_length(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(5, 2)

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return self.rnn(torch.cat([a, b], -1))[0]

    stream = Stream(export(Two(), {"a": "float32[T, N, 2]", "b": "float32[T, N, 3]"}, tmp_path / "out"))
    with pytest.raises(InputError, match=r"A chunk takes 'b' as \[T=4, N=1, 3\], not \[5, 1, 3\]"):
        stream.run(ordinary(4, 1, 2), ordinary(5, 1, 3))
    assert stream.run(ordinary(4, 1, 2), ordinary(4, 1, 3)).shape == (4, 1, 2)


WRONG_STATES: list[tuple[dict[str, Any], str]] = [
    ({}, "The states are rnn.0.h0, rnn.1.h0, not none. Give them all."),
    ({"rnn.0.h0": None}, "The states are rnn.0.h0, rnn.1.h0, not rnn.0.h0. Give them all."),
    (dict.fromkeys(["rnn.0.h0", "rnn.1.h0"], np.zeros((1, 1, 4))), "is float32[1, 1, 4], not float64[1, 1, 4]."),
    (dict.fromkeys(["rnn.0.h0", "rnn.1.h0"], ordinary(1, 2, 4)), "is float32[1, 1, 4], not float32[1, 2, 4]."),
    (dict.fromkeys(["rnn.0.h0", "rnn.1.h0"], torch.zeros(1, 1, 4)), "is float32[1, 1, 4], not a Tensor. Give it so."),
]


@pytest.mark.parametrize(("states", "message"), WRONG_STATES)
def test_wrong_states(states: dict[str, Any], message: str, tagger: Path) -> None:
    stream = Stream(tagger)
    stream.step(X + 1)
    before = stream.states
    with pytest.raises(InputError) as error:
        stream.states = states
    assert message in str(error.value)
    assert all(np.array_equal(state, before[name]) for name, state in stream.states.items())


@pytest.mark.parametrize("rows", [3, [0, 5], [True, False], 0.5, "first"])
def test_wrong_rows(rows: Any, tagger: Path) -> None:
    stream = Stream(tagger, sizes={"N": 3})
    with pytest.raises(InputError, match="These are no rows of the batch"):
        stream.reset(rows)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"M": 2}, "There is no dynamic dimension 'M'. They are N."),
        ({"n": 2}, "Did you mean 'N'?"),
        ({"T": 2}, "T is the time, of which a step has 1 and a chunk any number. Leave it out."),
        ({"N": 0}, "The size of N is 0. Give a whole number, 1 or more."),
        ({"N": 1.5}, "The size of N is 1.5."),
    ],
)
def test_wrong_sizes(sizes: dict[str, Any], message: str, tagger: Path) -> None:
    with pytest.raises(InputError) as error:
        Stream(tagger, sizes=sizes)
    assert message in str(error.value)


def test_a_fixed_batch_has_no_rows_to_reset(tmp_path: Path) -> None:
    stream = Stream(export(Tagger(), {"x": "float32[T, 1, 3]"}, tmp_path / "out"))
    first = stream.step(ordinary(1, 3))
    with pytest.raises(InputError, match="no one dynamic dimension in common"):
        stream.reset(rows=0)
    stream.reset()
    assert np.array_equal(stream.step(ordinary(1, 3)), first)
    with pytest.raises(InputError, match="There is no dynamic dimension 'N'. There is none beside the time."):
        stream.another(sizes={"N": 2})


def test_a_step_that_onnx_runtime_cannot_run_changes_nothing(tmp_path: Path) -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 3)
            self.rnn = nn.GRU(3, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.rnn(self.embed(tokens))[0]

    stream = Stream(export(Words(), {"tokens": "int64[T, N] in 0..4"}, tmp_path / "out"))
    stream.step(np.array([3]))
    before = stream.states
    for feed in (lambda: stream.step(np.array([99])), lambda: stream.run(np.array([[2], [99]]))):
        with pytest.raises(InputError, match="ONNX Runtime cannot run this input .*Look at its values"):
            feed()
        assert all(np.array_equal(state, before[name]) for name, state in stream.states.items())
    assert np.isfinite(stream.step(np.array([4]))).all()


def test_bundles_that_do_not_stream(tagger: Path, tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]"})
    export_onnx(Tagger(), signature, tmp_path / "plain", verify=False)
    export_torchscript(Tagger(), signature, tmp_path / "script", verify=False)
    for name, file in (("plain", "model.onnx"), ("script", "model.pt")):
        with pytest.raises(BundleError, match=f"can be fed in chunks; it holds {file}. Export .* `stateful=True`"):
            Stream(tmp_path / name)
    with pytest.raises(BundleError, match="is not a bundle: it has no manifest.json"):
        Stream(tmp_path)
    (tmp_path / "plain" / "manifest.json").write_text("[]")
    with pytest.raises(BundleError, match="is not a manifest .*Export the model again"):
        Stream(tmp_path / "plain")


def test_what_was_changed_is_not_run(tmp_path: Path) -> None:
    out = export(Tagger(), {"x": "float32[T, N, 3]"}, tmp_path / "out")
    model = (out / "model.onnx").read_bytes()
    (out / "model.onnx").write_bytes(model[:-1] + b"\0")
    with pytest.raises(BundleError, match="its sha256 differs"):
        Stream(out)
    (out / "model.onnx").write_bytes(model)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["artifacts"]["model.onnx"]["stream"]["states"]["rnn.0.h0"]["reset"] = 1
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="was changed after it was written"):
        Stream(out)


def test_session_options_of_ones_own(tagger: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    assert Stream(tagger, options=options)._model.session.get_session_options().intra_op_num_threads == 2
    assert Stream(tagger)._model.session.get_session_options().intra_op_num_threads == 1


def test_numpy_and_onnx_runtime_are_all_that_a_stream_needs(tagger: Path) -> None:
    code = f"""
import sys
for absent in ("torch", "onnx", "onnx_ir", "onnxscript", "jinja2", "safetensors", "click", "rich"):
    sys.modules[absent] = None
import numpy
from rnn_export import Stream
print(Stream({str(tagger)!r}).step(numpy.ones((1, 3), "float32")).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(1, 2)\n", "")


DENORMALS = """
import sys, threading
import numpy as np, onnxruntime
from rnn_export import Stream

def options(flush):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.set_denormal_as_zero", str(int(flush)))
    return options

def denormal():
    return bool((np.full(64, 1e-40, "float32") * np.float32(0.5)).any())

bundle, first = sys.argv[1], sys.argv[2] == "True"
streams = [Stream(bundle, options=options(flush)) for flush in (first, not first)]
print([bool(stream.step(np.full((1, 3), 1e-40, "float32")).any()) for stream in streams], denormal())
"""


class Decaying(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


def test_denormals_as_zero_is_for_the_process_and_the_first_session_decides(tmp_path: Path) -> None:
    """Why it is not set: it changes what numpy computes too, and a session that sets it later has no effect."""
    bundle = export(Decaying(), {"x": "float32[T, N, 3]"}, tmp_path / "out")
    for first in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", DENORMALS, str(bundle), str(first)], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"[{not first}, {not first}] {not first}\n"
