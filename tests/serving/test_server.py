"""A real Triton server loads what is written, joins requests, carries states, and gives what PyTorch computes.

`make test-triton` installs the server and builds a backend for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rnn_export import Signature, export_onnx
from rnn_export.bundle.cases import read_cases
from rnn_export.bundle.files import read_bundle
from rnn_export.bundle.manifest import CASES
from rnn_export.cli.main import main
from rnn_export.parity.check import check_case
from rnn_export.parity.chunks import random_lengths
from rnn_export.parity.expected import Expected
from rnn_export.publish.triton import CONFIG, write_triton
from serving.models import LastOf, Learned, LearnedBatchFirst, Masked, Scaled, Tagger
from serving.server import Server, is_there, serving
from test_readme import blocks
from torch import nn

Array = NDArray[np.generic]

pytestmark = pytest.mark.skipif(not is_there(), reason="Triton is not there: make test-triton")

X, XT = "float32[N, T, 3]", "float32[T, N, 3]"
Specified = tuple[nn.Module, dict[str, str], list[str], dict[str, Any]]

# Sequences of different requests are run together.
JOINED: dict[str, Specified] = {
    "tagger": (Tagger(), {"x": X}, ["y"], {}),
    "lengths": (LastOf(3, 4, batch_first=True), {"x": X, "lengths": "int64[N] in 1..T"}, ["last"], {}),
    "integers": (Masked(), {"tokens": "int64[N, T] in 0..9", "kept": "bool[N, T]"}, ["output", "count"], {}),
    "float16": (Tagger(), {"x": X}, ["y"], {"precision": "float16"}),
}
WHOLE: dict[str, Specified] = {
    "time_first": (nn.GRU(3, 4), {"x": XT}, ["output", "h_n"], {}),
    "single_numbers": (Scaled(), {"x": XT, "scale": "float32[]"}, ["output", "total"], {}),
}
STREAMS: dict[str, Specified] = {
    "joined_stream": (LearnedBatchFirst(), {"x": X}, ["output"], {"stateful": True, "lowering": "scan"}),
    "time_first_stream": (Learned(), {"x": XT}, ["output"], {"stateful": True}),
}
# What comes of a last chunk is the state too.
RETURNED: dict[str, Specified] = {
    "one_sequence": (nn.GRU(3, 4), {"x": "float32[T, 3]"}, ["output", "h_n"], {"stateful": True}),
    "declared": (nn.GRU(3, 4), {"x": XT, "hx": "float32[1, N, 4]"}, ["output", "h_n"], {"stateful": True}),
}
AT_ONCE = 2


@dataclass(frozen=True)
class Served:
    """A server with all of them, and the bundles that they were written from."""

    server: Server
    bundles: Path

    def failing(self, name: str, run: Callable[[dict[str, Array]], dict[str, Array]]) -> list[str]:
        """The stored cases that do not pass."""
        folder = self.bundles / name
        expected = read_cases(folder / CASES, read_bundle(folder), "model.onnx")
        results = [check_case(Asking(run, item), item) for item in expected]
        assert len(results) >= 4
        return [f"{each.case.name}: {each.note or each.outputs}" for each in results if each.verdict != "PASS"]


@dataclass(frozen=True)
class Asking:
    """A session that asks a server; Triton has no tensors without dimensions, nor without one beside the batch's."""

    ask: Callable[[dict[str, Array]], dict[str, Array]]
    item: Expected
    hides_nan: str = ""
    spreads_nan: bool = False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        got = self.ask({name: a if a.ndim > 1 else a.reshape(*a.shape, 1) for name, a in inputs.items()})
        assert self.item.reference is not None
        return {name: got[name].reshape(got[name].shape[: e.ndim]) for name, e in self.item.reference.eager.items()}


def wait_for_others(config: Path) -> None:
    """Have the server wait for requests that can be joined, so that some surely are."""
    text = config.read_text().replace(
        "dynamic_batching {\n}", "dynamic_batching { max_queue_delay_microseconds: 100000 }"
    )
    if "max_batch_size: 0" not in text:
        waiting = "direct { max_queue_delay_microseconds: 5000 minimum_slot_utilization: 1 }"
        text = text.replace("direct {\n  }", waiting)
    assert "max_queue_delay_microseconds" in text or "max_batch_size: 0" in text
    config.write_text(text)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serving")
    for name, (model, inputs, outputs, options) in (JOINED | WHOLE | STREAMS | RETURNED).items():
        states = {"hx": "h_n"} if "hx" in inputs else {}
        export_onnx(model.eval(), Signature(inputs, outputs=outputs, states=states), folder / name, **options)
        written = write_triton(folder / name, folder / "models", name=name, instances=AT_ONCE)
        wait_for_others(written.folder / CONFIG)
    with serving(folder / "models") as server:
        yield Served(server, folder)


@pytest.mark.parametrize("name", JOINED)
def test_sequences_of_requests_that_are_joined(served: Served, name: str) -> None:
    def ask(inputs: dict[str, Array]) -> dict[str, Array]:
        rows = range(len(next(iter(inputs.values()))))
        requests = [{name: array[row : row + 1] for name, array in inputs.items()} for row in rows]
        answers = served.server.ask_at_once(name, requests)
        return {output: np.concatenate([answer[output] for answer in answers]) for output in answers[0]}

    assert not served.failing(name, ask)
    answered, runs = served.server.runs(name)
    assert runs < answered


@pytest.mark.parametrize("name", WHOLE)
def test_requests_that_are_a_batch_of_their_own(served: Served, name: str) -> None:
    assert not served.failing(name, lambda inputs: served.server.ask(name, inputs))
    answered, runs = served.server.runs(name)
    assert answered == runs


@pytest.mark.parametrize("name", STREAMS)
def test_chunks_of_sequences(served: Served, name: str) -> None:
    batch, time = axes(name)
    ids = count(1)

    def feed(x: Array) -> Array:
        lengths = random_lengths(x.shape[time], seed=x.shape[time])
        chunks = np.split(x, np.cumsum(lengths)[:-1], time)
        return np.concatenate([*served.server.feed(name, next(ids), chunks)], time)

    def ask(inputs: dict[str, Array]) -> dict[str, Array]:
        rows = np.split(inputs["x"], inputs["x"].shape[batch], batch)
        # More at once than there are instances: where sequences are not joined, the others wait.
        with ThreadPoolExecutor(2 * AT_ONCE) as threads:
            return {"output": np.concatenate([*threads.map(feed, rows)], batch)}

    assert not served.failing(name, ask)


@pytest.mark.parametrize("name", STREAMS)
def test_sequences_in_turn_do_not_see_each_other(served: Served, name: str) -> None:
    """As many as fit at once, of unlike lengths, begun one after the other; then their ids are used again."""
    batch, time = axes(name)
    random = np.random.default_rng(0)
    model, *_ = STREAMS[name]
    before = served.server.runs(name)
    for _ in range(2):
        lengths = range(3, 3 + (7 if batch == 0 else AT_ONCE))
        whole = [random.standard_normal(shape(T, 1, batch)).astype(np.float32) for T in lengths]
        feeds = [served.server.feed(name, 1000 + i, np.split(x, x.shape[time], time)) for i, x in enumerate(whole)]
        with ThreadPoolExecutor(len(feeds)) as threads:
            rounds = [[*threads.map(lambda feed: next(feed, None), feeds)] for _ in range(max(lengths))]
        for x, steps in zip(whole, zip(*rounds, strict=True), strict=True):
            got = np.concatenate([step for step in steps if step is not None], time)
            np.testing.assert_allclose(got, model(torch.tensor(x)).detach(), atol=1e-6)
    answered, runs = np.subtract(served.server.runs(name), before)
    assert (runs < answered) == (batch == 0)


@pytest.mark.parametrize("name", RETURNED)
def test_a_state_that_the_model_returns_is_an_output(served: Served, name: str) -> None:
    model, specs, *_ = RETURNED[name]
    x = np.random.default_rng(0).standard_normal((7, 3) if specs["x"] == "float32[T, 3]" else (7, 1, 3), np.float32)
    answers = [
        served.server.ask(name, {"x": x[t : t + 3]}, sequence_id=1, sequence_start=t == 0, sequence_end=t == 6)
        for t in (0, 3, 6)
    ]
    output, h_n = model(torch.tensor(x))
    np.testing.assert_allclose(np.concatenate([answer["output"] for answer in answers]), output.detach(), atol=1e-6)
    np.testing.assert_allclose(answers[-1]["h_n"], h_n.detach(), atol=1e-6)


def axes(name: str) -> tuple[int, int]:
    """Of the batch, and of the time."""
    return (0, 1) if STREAMS[name][1]["x"] == X else (1, 0)


def shape(T: int, N: int, batch: int) -> tuple[int, int, int]:
    return (N, T, 3) if batch == 0 else (T, N, 3)


def test_requests_of_unlike_lengths(served: Served) -> None:
    random = np.random.default_rng(0)
    requests = [{"x": random.standard_normal((1, T, 3)).astype(np.float32)} for T in (3, 5, 3, 5, 3, 5, 1, 2)]
    answers = served.server.ask_at_once("tagger", requests)
    model, *_ = JOINED["tagger"]
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer["y"], model(torch.tensor(request["x"])).detach(), atol=1e-6)


def test_what_does_not_fit_is_refused_by_the_server(served: Served) -> None:
    for name, shape in (("tagger", (1, 3, 4)), ("time_first_stream", (3, 2, 3)), ("tagger", (33, 1, 3))):
        with pytest.raises(Exception, match="shape|batch"):
            served.server.ask(name, {"x": np.zeros(shape, np.float32)})


def test_the_page_on_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "internals" / "serving.md"
    monkeypatch.chdir(tmp_path)
    for command in re.findall(r"^    rnn-export (.*artifacts/gru.*)$", page.read_text(), flags=re.MULTILINE):
        main([*command.split(), "--quiet"], standalone_mode=False)
    (example,) = blocks(page, "python")
    with serving(tmp_path / "models") as server:
        capsys.readouterr()
        exec(compile(example.replace("localhost:8001", server.address), page.name, "exec"), {})
    assert capsys.readouterr().out == 3 * "(3, 1, 20)\n"
