"""Timing a file beside PyTorch is fair: one thread each, in turn, warmed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from planting import write_bundle
from rnn_export.bundle.manifest import read_manifest
from rnn_export.publish import speed
from rnn_export.runtimes import onnxruntime
from rnn_export.runtimes.session import ProviderOptions


def test_runs_alternate_and_the_first_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(speed.time, "perf_counter", lambda: float(next(clock)))
    order: list[str] = []
    times = speed.time_in_turn(lambda: order.append("file"), lambda: order.append("eager"))
    assert order == ["file", "eager"] * (3 + 5)
    assert times == (1.0, 1.0)


def test_both_have_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_bundle(tmp_path / "out", "tagger")
    manifest = read_manifest(bundle)
    threads: list[int] = []
    options = onnxruntime._session_options
    opened: list[int] = []

    def observed(given: ProviderOptions) -> object:
        made = options(given)
        opened.append(made.intra_op_num_threads)
        return made

    monkeypatch.setattr(onnxruntime, "_session_options", observed)
    monkeypatch.setattr(speed, "_SECONDS", 0.0)
    inputs = {"x": np.zeros((2, 1, 3), np.float32)}
    run = speed.EagerRun({"T": 2, "N": 1}, inputs, lambda: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        (found,) = speed.compare_speed(
            bundle / "model.onnx", manifest.artifacts["model.onnx"], manifest.signature, [], [run]
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert found.sizes == {"T": 2, "N": 1}
    assert opened == [1]
    assert set(threads) == {1}
