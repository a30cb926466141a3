"""The report page: what it says, that it needs nothing from outside, and that a browser shows it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from click.testing import Result
from conftest import SMALL
from planting import next_weight, plant, write_bundle, wrong_bias
from rnn_export import Signature, export_onnx, export_torchscript, load, read_bundle, verify
from rnn_export.parity.in_words import behind, shown, verdict_in_words
from rnn_export.publish.measure import Measured
from rnn_export.publish.report import render, write_report
from rnn_export.publish.speed import Speed
from torch import nn

Cli = Callable[..., Result]
CHROMIUM = shutil.which("chromium")


def _plots(html: str) -> list[str]:
    return re.findall(r"<h3>(Error[^<]*)</h3>", html)


def test_a_page_of_a_right_bundle(cli: Cli, tmp_path: Path) -> None:
    write_bundle(tmp_path / "out", "tagger")
    result = cli("report", "out", "--seed", "1")
    assert result.exit_code == 0, result.output
    html = (tmp_path / "out.report.html").read_text()
    assert _plots(html) == ["Error in terms of its limit, by size", "Error along a sequence", "Error in ulps"]
    for text in (
        "tagger",
        "float32[T, N, 3]",
        "CPUExecutionProvider",
        "rnn_tanh as scan",
        "fresh cases, seed 1",
        "20 PASS",
    ):
        assert text in html
    assert "FAIL" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    assert not re.search(r'src="?https?:|@import|<link', html)
    assert re.findall(r'<(\w+) href="?https?:', html) == ["a"]


def test_a_page_of_a_wrong_bundle(cli: Cli, tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "tagger"), wrong_bias)
    result = cli("report", "out", "--out", "page.html", "--json")
    assert result.exit_code == 1
    html = (tmp_path / "page.html").read_text()
    for text in ("wrong", "20 FAIL", "the fault is elsewhere", "zero values at T=1, N=1", "times the limit"):
        assert text in html


def _text(html: str) -> str:
    """What a reader sees of a page."""
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL).replace("</td>", " </td>")
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def test_the_headline_is_that_of_the_first_screen(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "tagger")
    verification = verify(bundle, seed=1)
    (report,) = verification.reports
    text = _text(render(bundle, read_bundle(bundle), verification, {}))
    assert f"model.onnx {verdict_in_words(report)}: {shown(report)}. {' '.join(behind(report))}" in text


def test_the_command_makes_the_same_page(cli: Cli, tmp_path: Path) -> None:
    write_bundle(tmp_path / "out", "tagger")
    assert cli("report", "out", "--out", "a page.html").exit_code == 0
    command = re.search(r"<pre><code>(.*?)</code>", (tmp_path / "a page.html").read_text())
    assert command is not None
    program, *arguments = shlex.split(unescape(command[1]))
    assert (program, arguments[:4]) == ("rnn-export", ["report", "out", "--out", "a page.html"])
    (tmp_path / "a page.html").unlink()
    assert cli(*arguments).exit_code == 0
    assert f"fresh cases, seed {arguments[-1]}" in (tmp_path / "a page.html").read_text()


def test_numbers_are_written_as_people_write_them(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "tagger")
    measured = {"model.onnx": Measured(None, None, None, [Speed({"T": 1, "N": 2}, 0.00142, 1.123)])}
    text = _text(render(bundle, read_bundle(bundle), verify(bundle, seed=1), measured))
    assert "T=1, N=2 1.1 s 1.4 ms 791 times as fast" in text
    assert not re.search(r"\d[eE][+-]?\d\d\b", text.partition("sha256")[0])


def test_two_artifacts_states_and_a_model_without_a_batch(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "initial_state", settings={"cell": "lstm"}, stateful=True)
    loaded = load("initial_state", input_size=3, hidden_size=4, num_layers=2, cell="lstm", seed=3)
    export_torchscript(loaded.model, loaded.signature, bundle, source=loaded.source, verify=False)
    path, passed = write_report(bundle)
    assert passed
    html = path.read_text()
    assert "model.pt in torchscript" in html
    assert html.count("Error along a sequence") == 2


def test_a_model_that_cannot_be_built_again(tmp_path: Path) -> None:
    export_onnx(nn.GRU(3, 4), Signature({"x": "float32[T, N, 3]"}), tmp_path / "out")
    html = write_report(tmp_path / "out")[0].read_text()
    assert "The cases stored in the bundle were replayed" in html
    assert _plots(html) == []


def test_a_page_says_why_where_only_weights_differ(cli: Cli, tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "tagger"), next_weight)
    result = cli("report", "out")
    assert result.exit_code == 1
    assert "outputs match PyTorch's, but weights differ. Weights: 'rnn.weight_hh_l0' differs" in result.stderr
    html = unescape((tmp_path / "out.report.html").read_text())
    assert '<span class="badge FAIL">FAIL</span>' in html
    assert html.count("outputs match PyTorch's, but weights differ") == 2
    assert '<span class="PASS">20 PASS</span>' in html
    found = json.loads(cli("report", "out", "--json").stdout)
    assert (found["passed"], found["verdict"]) == (False, "FAIL")
    assert "weights differ" in found["error"]


def test_a_page_tells_what_int8_costs(tmp_path: Path) -> None:
    loaded = load("tagger", **SMALL["tagger"])
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "q", source=loaded.source, quantize="int8")
    html = unescape(write_report(tmp_path / "q")[0].read_text())
    costs = [note for note in exported.notes if note.startswith("int8 weights:")]
    assert costs
    for text in (*costs, "are int8, correctly rounded", "handles NaN differently from PyTorch"):
        assert text in html


def test_a_page_says_how_cases_were_drawn(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "tagger")
    verification = verify(bundle, seed=1)
    html = render(bundle, read_bundle(bundle), replace(verification, notes=("Drawn otherwise.",)), {})
    assert "<p>Drawn otherwise.</p>" in html
    assert unescape(html).count(str(verification.reports[0].weights)) == 1


def test_a_page_of_nodes_that_ran_elsewhere(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "out", "tagger")
    verification = verify(bundle, seed=1)
    (report,) = verification.reports
    placement = replace(report.placement, provider="CUDAExecutionProvider")
    elsewhere = replace(verification, reports=[replace(report, placement=placement)])
    html = unescape(render(bundle, read_bundle(bundle), elsewhere, {}))
    assert html.count("not one node ran on CUDAExecutionProvider") == 2
    assert "computes something else" not in html


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium; `apt-get install chromium` gets it")
def test_a_browser_shows_it(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    path, _ = write_report(write_bundle(tmp_path / "out", "tagger"))
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}")
    command = [CHROMIUM, *options, "--enable-logging=stderr", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert shown.stdout.count("<svg") >= 4
    assert "</html>" in shown.stdout
    assert "CONSOLE" not in shown.stderr
