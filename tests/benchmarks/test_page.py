"""The page and the plots from stored results: ratios, who is fastest, and what is said where it is not ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.page import render
from benchmarks.plot import plot_growth, plot_rates
from benchmarks.records import Export, LoopTimes, Machine, MambaStep, Memory, Peak, Processes, Written
from benchmarks.results import Engine, Results, RowResult, Setting
from benchmarks.rows import SHAPES, Row, Shape
from benchmarks.verdicts import beaten, best_rival, ours, ratio, rivals, share

SETTING = Setting("2026-11-25", "make bench", "a processor", 2, 2**34, "Linux", {"torch": "2.13.0"}, 20.0)


def timed(*milliseconds: float, form: str = "", error: float = 0.0) -> Engine:
    return Engine("timed", form, error, tuple(value / 1e3 for value in milliseconds), (9,) * len(milliseconds))


BATCH = RowResult(
    Row("RNN", SHAPES[0], 1),
    {
        "eager": timed(20, 22, 21),
        "dynamo exporter": Engine("wrong", reason="off by 3.0e-01 of the largest value"),
        "OpenVINO": timed(8, 9, 8, form="our file"),
        "ours": timed(10, 11, 10),
        "ours, int8": timed(5, 5, 5, error=0.002),
    },
    (0.008, 0.009, 0.008),
)
STEP = RowResult(
    Row("RNN", SHAPES[5], 1),
    {"eager": timed(0.1, 0.1), "ours": timed(0.05, 0.05), "ours, Stream": timed(0.04, 0.04)},
    (20e-6, 20e-6),
)
RESULTS = Results(
    setting=SETTING,
    machines={1: Machine({16: 2e11, 1024: 1e11}, 1.6e11)},
    rows=[BATCH, STEP],
    written={"RNN/ours": Written(1000, 2.0), "RNN/dynamo.onnx": Written(reason="no")},
    growth=[
        RowResult(Row("RNN", Shape(T, N, 64, 128, 1), 1), {"eager": timed(T * N), "ours": timed(T * N / 2)}, (1e-4,))
        for T, N in ((10, 1), (100, 1), (35, 1), (35, 16))
    ],
    memory=[Memory("LSTM", "ours", 10, 10**8, 10**8)],
    exports=[Export("LSTM", "ours", 10, 1, 1.5, 12345)],
    processes=[
        Processes(command, (seconds, seconds))
        for command, seconds in (
            ("import torch", 1.0),
            ("torch.onnx.export(dynamo=False)", 2.0),
            ("rnn-export onnx --model hetero --no-verify", 2.5),
            ("rnn-export onnx --model hetero", 6.0),
        )
    ],
    peaks=[Peak("import torch", 10**8, 0.0), Peak("export_onnx(verify=False)", 5 * 10**8, 1.9)],
    loops=[
        LoopTimes("gated", 256, {"eager": 0.02, "contrib": 0.002, "scan": 0.008}),
        LoopTimes("gated", 1, {"eager": 0.0002, "stock": 0.0001, "contrib": 0.00005, "scan": 0.0001}),
    ],
    mamba=[MambaStep(64, 52.0, 17.4)],
)


def test_what_is_stored_is_what_is_read() -> None:
    assert Results.from_json(RESULTS.to_json()) == RESULTS


def test_ratios_are_of_medians_to_ours() -> None:
    assert ratio(BATCH, BATCH.engines["eager"]) == pytest.approx(2.1)
    assert ratio(BATCH, BATCH.engines["dynamo exporter"]) is None
    assert share(BATCH) == pytest.approx(0.8)


def test_a_step_of_a_mamba_block_is_a_row() -> None:
    assert "| 64 | 52 | 17 | 3.0 |" in render(RESULTS, {}, "")


def test_in_a_single_step_a_stream_counts_as_ours() -> None:
    assert ours(STEP) is STEP.engines["ours, Stream"]
    assert ratio(STEP, STEP.engines["eager"]) == pytest.approx(2.5)


def test_int8_is_no_rival_and_does_not_win_for_float32() -> None:
    assert beaten([BATCH, STEP]) == [BATCH]
    assert best_rival(BATCH) == ("OpenVINO", BATCH.engines["OpenVINO"])
    assert [rival.name for rival in rivals([BATCH])] == ["eager", "OpenVINO"]


def test_the_page_says_who_is_fastest_and_why_ours_is_not() -> None:
    page = render(RESULTS, {"RNN, T35 N32 I100 H256 L4": "A remark."}, "## How it is measured\n")
    assert "Ours in float32 is the fastest on 1 of 2 rows." in page
    assert "| RNN T35 N32 I100 H256 L4 | 21 (2.10x) | **wrong** | **8** (0.80x) | 10 | 5 (0.50x) |" in page
    assert (
        "RNN T35 N32 I100 H256 L4: OpenVINO (our file) takes 8 ms, ours 10 ms, 1.25 times as long. The limit, the "
        "products alone, is 8 ms; 20% of ours is activations, copies, steps and slower products. A remark." in page
    )
    assert "dynamo exporter, wrong on 1: off by 3.0e-01 of the largest value (RNN)" in page
    assert "0.50 s more than the deprecated exporter; verification takes 3.50 s, 1.40 times the rest" in page


def test_forms_of_loops_stand_beside_the_operator() -> None:
    page = render(RESULTS, {}, "")
    assert "| gated, T=256 | 20 (10.00x) | 2 | 8 (4.00x) |  |" in page
    assert "| gated, T=1 | 0.2 (4.00x) | 0.05 | 0.1 (2.00x) | 0.1 (2.00x) |" in page


def test_rounds_that_overlap_are_called_a_draw() -> None:
    close = replace(BATCH, engines={"eager": timed(9, 9.9, 12), "ours": timed(9.5, 10, 11)})
    assert "a draw: their rounds overlap" in render(replace(RESULTS, rows=[close]), {}, "")


def test_parts_that_were_not_measured_are_not_on_the_page() -> None:
    page = render(replace(RESULTS, rows=[], growth=[], memory=[], exports=[], processes=[], peaks=[], loops=[]), {}, "")
    assert "##" in page
    assert "Growth" not in page
    assert "The export itself" not in page
    assert "Linear attention" not in page


def test_plots_have_the_colour_of_text(tmp_path: Path) -> None:
    plot_rates(RESULTS.rows, tmp_path / "rates.svg")
    plot_growth(RESULTS.growth, tmp_path / "growth.svg")
    for name in ("rates.svg", "growth.svg"):
        text = (tmp_path / name).read_text()
        assert "prefers-color-scheme" in text
        assert "currentColor" in text
        assert "#010203" not in text
