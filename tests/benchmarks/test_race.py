"""A tiny model through real workers: exported, loaded, compared, timed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engines import ENGINES, difference, read_case
from benchmarks.files import CASE, place, write_all
from benchmarks.race import Effort, race, running
from benchmarks.rows import Model, Row, Shape
from benchmarks.worker import LIMIT, Loaded, Refused, Worker

SHAPE = Shape(3, 2, 4, 8, 1)
STEP = Shape(1, 1, 4, 8, 4)
ROW = Row("RNN", SHAPE, 1)
NAMES = ["eager", "deprecated exporter", "ours"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    written = dict(write_all(folder, [("RNN", SHAPE)], [CASE, "deprecated.onnx", "ours"]))
    assert not [found.reason for found in written.values() if found.reason]
    assert all(found.bytes > 0 for found in written.values())
    return folder


def test_every_engine_is_right_and_timed(folder: Path) -> None:
    with running(NAMES, 1) as workers:
        result = race(ROW, workers, folder, Effort(rounds=2, seconds=0.01))
    assert list(result.timed()) == NAMES
    assert all(len(engine.rounds) == 2 and min(engine.rounds) > 0 for engine in result.engines.values())
    assert all(engine.error < 1e-6 for engine in result.engines.values())
    assert len(result.limits) == 2
    assert result.limit > 0


@pytest.mark.parametrize(
    "model", ["LSTM", *(pytest.param(each, marks=pytest.mark.rest) for each in ("hetero", "from-scratch"))]
)
def test_a_step_is_fed_the_states_of_the_last_one(model: Model, tmp_path: Path) -> None:
    names = ("eager", "deprecated exporter", "ours", "ours, Stream")
    ways = [CASE, *(way for name in names for way in ENGINES[name].ways)]
    written = dict(write_all(tmp_path, [(model, STEP)], ways))
    assert not [found.reason for found in written.values() if found.reason]
    task, (first, *_) = read_case(Row(model, STEP, 1), tmp_path)
    seen = {}
    for name in names:
        (open_form,) = ENGINES[name].forms.values()
        call = open_form(task)
        seen[name] = [np.asarray(call()[0]).copy().reshape(first.shape) for _ in range(3)]
        np.testing.assert_allclose(seen[name][0], first, rtol=0, atol=1e-6)
        np.testing.assert_allclose(seen[name], seen["eager"], rtol=0, atol=1e-6)
    assert not np.allclose(seen["eager"][0], seen["eager"][1], rtol=0, atol=1e-5)


def test_an_engine_that_computes_something_else_is_wrong_and_not_timed(folder: Path) -> None:
    case = place(folder, "RNN", SHAPE, CASE)
    stored = case.read_bytes()
    arrays = dict(np.load(case))
    np.savez(case, **{**arrays, "out.0": arrays["out.0"] + 0.01})
    try:
        with running(["ours"], 1) as workers:
            result = race(ROW, workers, folder, Effort(rounds=2, seconds=0.01))
    finally:
        case.write_bytes(stored)
    assert result.engines["ours"].outcome == "wrong"
    assert "of the largest value" in result.engines["ours"].reason
    assert not result.engines["ours"].rounds


def test_a_file_that_is_not_there_is_refused_for_the_reason_it_is_not(folder: Path) -> None:
    place(folder, "RNN", SHAPE, "ours-int8.why").write_text("the exporter said no")
    with running(["ours, int8"], 1) as workers:
        result = race(ROW, workers, folder, Effort(rounds=2, seconds=0.01))
    assert result.engines["ours, int8"].outcome == "refused"
    assert result.engines["ours, int8"].reason == "the exporter said no"


def test_a_worker_that_died_is_started_again(folder: Path) -> None:
    worker = Worker(LIMIT, 1)
    try:
        (process,) = multiprocessing.active_children()
        process.kill()
        process.join()
        assert worker.load(ROW, folder) == Refused("refused", "the process died")
        assert isinstance(worker.load(ROW, folder), Loaded)
    finally:
        worker.close()


def test_difference_is_relative_and_infinite_where_it_makes_no_sense() -> None:
    expected = [np.array([[1.0, -4.0]])]
    assert difference([np.array([1.0, -3.0])], expected) == 0.25
    assert difference([np.array([1.0])], expected) == float("inf")
    assert difference([np.array([1.0, np.nan])], expected) == float("inf")


def test_every_engine_has_a_form() -> None:
    assert all(engine.forms for engine in ENGINES.values())
