"""Timing single steps: what is counted as weights, what is reported, what is refused. No time is asserted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result
from conftest import SMALL
from rnn_export import InputError, Signature, export_onnx, load
from rnn_export.cli.console import _STAGES
from rnn_export.cli.latency import print_latency
from rnn_export.publish.report import write_report
from rnn_export.stream.latency import Latency, measure_latency, read_rate, weight_bytes
from torch import Tensor, nn

Cli = Callable[..., Result]


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(500, 3)
        self.rnn = nn.GRU(3, 8)

    def forward(self, tokens: Tensor, scale: Tensor) -> Tensor:
        return self.rnn(self.embed(tokens) * scale)[0]


def test_weights_are_counted_without_tables(tmp_path: Path) -> None:
    inputs = {"tokens": "int64[T, N] in 0..499", "scale": "float32[3]"}
    export_onnx(Words(), Signature(inputs, ["y"]), tmp_path / "out", stateful=True, verify=False)
    recurrent = 4 * (3 * 8 * 3 + 3 * 8 * 8 + 2 * 3 * 8)
    assert recurrent <= weight_bytes(tmp_path / "out" / "model.onnx") < recurrent + 100
    found = measure_latency(tmp_path / "out", sizes={"N": 2}, steps=30)
    assert (found.steps, found.sizes) == (30, {"N": 2})


def test_single_steps_and_a_report_have_words_of_their_own(tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", stateful=True, source=loaded.source)
    steps: set[str] = set()
    page: set[str] = set()
    measure_latency(tmp_path / "out", steps=3, progress=lambda stage, done, total: steps.add(stage))
    write_report(tmp_path / "out", None, progress=lambda stage, done, total: page.add(stage))
    assert [_STAGES[stage] for stage in steps] == ["Timing single steps"]
    assert "Timing single steps" not in {_STAGES[stage] for stage in page}
    assert "Measuring errors and time" in {_STAGES[stage] for stage in page}


def test_weights_inside_a_loop_are_counted(tmp_path: Path) -> None:
    export_onnx(
        nn.GRU(3, 8).double(), Signature({"x": "float64[T, N, 3]"}), tmp_path / "out", stateful=True, verify=False
    )
    assert weight_bytes(tmp_path / "out" / "model.onnx") >= 8 * (3 * 8 * 3 + 3 * 8 * 8 + 4 * 8)
    assert measure_latency(tmp_path / "out", steps=10).p50 > 0


def test_what_follows_from_the_numbers() -> None:
    found = Latency({"N": 1}, 10, 50e-6, 60e-6, 70e-6, 2_000_000, 80e9)
    assert found.steps_per_second == pytest.approx(20_000)
    assert found.weight_rate == pytest.approx(40e9)
    assert found.limit == pytest.approx(25e-6)


def test_a_short_time_has_digits(capsys: pytest.CaptureFixture[str]) -> None:
    print_latency(Latency({}, 10, 1234.56e-6, 2.25e-6, 0.987e-6, 272, 80e9))
    shown = re.findall(r"^(p\S+|limit) +(\S+) us", capsys.readouterr().out, re.MULTILINE)
    assert shown == [("p50", "1,234.6"), ("p99", "2.2"), ("p99.9", "0.99"), ("limit", "0.0034")]


@pytest.mark.parametrize("size", [0, 1000, 10_000_000])
def test_reading(size: int) -> None:
    assert read_rate(size) > 1e6


def test_no_steps() -> None:
    with pytest.raises(InputError, match="0 steps cannot be timed. Give 1 or more."):
        measure_latency("nowhere", steps=0)


def test_the_command(cli: Cli, tmp_path: Path) -> None:
    torch.manual_seed(0)
    loaded = load("tagger", **SMALL["tagger"])
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", stateful=True, verify=False)
    result = cli("latency", "out", "--steps", "50", "--sizes", "N=3")
    assert result.exit_code == 0, result.output
    assert "50 single steps, N=3" in result.stdout
    for row in ("p50", "p99", "p99.9", "limit", "steps per second", "weights per step", "this machine reads"):
        assert f"\n{row}" in result.stdout
    data = json.loads(cli("latency", "out", "--steps", "50", "--json").stdout)
    assert data["steps"] == 50
    assert data["sizes"] == {"N": 1}
    assert 0 < data["p50"] <= data["p99"] <= data["p999"]
    assert cli("latency", "out", "--steps", "50", "--quiet").output == ""


def test_a_bundle_without_states_is_refused(cli: Cli, tmp_path: Path) -> None:
    export_onnx(nn.GRU(3, 4), Signature({"x": "float32[T, N, 3]"}), tmp_path / "out", verify=False)
    refused = {
        ("out",): "`stateful=True`",
        ("absent",): "absent is not a bundle",
        ("out", "--sizes", "N"): "'N' gives no sizes. Write a number for each dimension, such as 'T=1,N=1'.",
    }
    for arguments, said in refused.items():
        result = cli("latency", *arguments)
        assert result.exit_code == 2
        assert said in result.stderr
        assert result.stdout == ""
