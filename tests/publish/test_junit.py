"""The JUnit file has a failure if and only if a verification did not pass, and says which kind it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result
from planting import next_weight, plant, write_bundle, wrong_bias
from rnn_export import InputError, Report, Verification, verify, write_junit
from rnn_export.parity.report import CaseResult
from rnn_export.pytorch.samples import Case
from rnn_export.runtimes.placement import Placement, Ran

Cli = Callable[..., Result]


def outcomes(file: Path) -> dict[str, str]:
    """By test of the bundle: "passed", or what kind of element it has."""
    root = ElementTree.parse(file).getroot()
    tests = [*root.iter("testcase")]
    kinds = [test[0].tag if len(test) and test[0].tag != "system-out" else "passed" for test in tests]
    for count, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suites = sum(int(suite.get(count, "0")) for suite in root)
        assert int(root.get(count, "")) == kinds.count(kind) == suites
    assert int(root.get("tests", "")) == len(tests)
    return {str(test.get("name")): kind for test, kind in zip(tests, kinds, strict=True)}


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Verification:
    return verify(write_bundle(tmp_path_factory.mktemp("junit") / "out", "tagger"), seed=1)


def written(reports: list[Report], folder: Path) -> dict[str, str]:
    write_junit(folder / "junit.xml", reports)
    return outcomes(folder / "junit.xml")


def test_a_right_bundle(right: Verification, tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", right)
    found = outcomes(tmp_path / "junit.xml")
    assert set(found.values()) == {"passed"}
    assert found.keys() >= {"integrity", "weights", "placement", "verdict"}
    assert len(found) == 4 + len(right.reports[0].cases)


def test_weights_that_no_output_shows(cli: Cli, tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "tagger"), next_weight)
    result = cli("verify", "out", "--junit", "junit.xml")
    assert result.exit_code == 1
    assert "model.onnx does not match PyTorch: 20 cases" in result.stdout
    failed = {name for name, outcome in outcomes(tmp_path / "junit.xml").items() if outcome == "failure"}
    assert failed == {"weights"}
    assert "in 1 of 16 elements" in (tmp_path / "junit.xml").read_text()


def test_outputs_that_differ(cli: Cli, tmp_path: Path) -> None:
    plant(write_bundle(tmp_path / "out", "tagger"), wrong_bias)
    assert cli("verify", "out", "--junit", "junit.xml").exit_code == 1
    assert [*outcomes(tmp_path / "junit.xml").values()].count("failure") == 20


@pytest.mark.parametrize("allowed", [False, True])
def test_nodes_that_ran_elsewhere(right: Verification, allowed: bool, tmp_path: Path) -> None:
    ran = Ran("GRU", "CPUExecutionProvider", 1, 0.7, "computes")
    other = Ran("MatMul", "CUDAExecutionProvider", 1, 0.3, "computes")
    placement = Placement("CUDAExecutionProvider", "1.32.0", (ran, other))
    report = replace(right.reports[0], placement=placement, allow_fallback=allowed)
    found = written([report], tmp_path)
    assert (found["placement"], report.passed) == (("passed", True) if allowed else ("failure", False))
    assert [*found.values()].count("failure") == (not allowed)
    assert "GRU (1 run, 70% of the time) ran on CPUExecutionProvider" in (tmp_path / "junit.xml").read_text()


@pytest.mark.parametrize("verdict", ["REFUSED", "EXPECTED"])
def test_a_report_that_fails_though_no_case_does(right: Verification, verdict: str, tmp_path: Path) -> None:
    case = Case({"T": 1}, "ordinary", 0)
    results = [CaseResult(replace(case, seed=seed), (), verdict, "why") for seed in range(2)]  # type: ignore[arg-type]
    report = replace(right.reports[0], cases=results)
    found = written([report], tmp_path)
    assert not report.passed
    assert found["verdict"] == "failure"
    assert report.failure in (tmp_path / "junit.xml").read_text()
    assert ("PyTorch runs none of the cases" in report.failure) == (verdict == "REFUSED")


def test_one_case_that_is_run_again_and_excused_passes(right: Verification, tmp_path: Path) -> None:
    report = replace(right.reports[0], cases=[CaseResult(Case({}, "nan", 0), (), "EXPECTED", "why")])
    assert report.passed
    assert "failure" not in written([report], tmp_path).values()


def damage(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (damage, "model.onnx is not as it was written"),
        (lambda folder: (folder / "cases.safetensors").unlink(), "cases.safetensors is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "is not a manifest"),
        (lambda folder: (folder / "manifest.json").unlink(), "is not a bundle"),
    ],
)
def test_a_damaged_bundle(cli: Cli, harm: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    harm(write_bundle(tmp_path / "out", "tagger"))
    result = cli("verify", "out", "--junit", "junit.xml")
    assert result.exit_code == 2
    assert said in result.stderr
    assert outcomes(tmp_path / "junit.xml") == {"integrity": "failure"}
    assert said in (tmp_path / "junit.xml").read_text()


def test_a_runtime_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    write_bundle(tmp_path / "out", "tagger")
    assert cli("verify", "out", "--junit", "junit.xml", "--runtime", "onnxruntime:nonesuch").exit_code == 2
    assert outcomes(tmp_path / "junit.xml") == {"verify": "error"}


def test_names_that_xml_cannot_hold(right: Verification, tmp_path: Path) -> None:
    report = replace(right.reports[0], artifact="mod\x1b[31mel\x00\ud800.onnx")
    written([report], tmp_path)
    assert "mod?[31mel??.onnx in onnxruntime:cpu" in (tmp_path / "junit.xml").read_text()


@pytest.mark.parametrize(
    ("path", "reports", "said"),
    [
        ("junit.xml", "junit.xml", "`reports` is a str. Give what verify returned, or its reports."),
        ("junit.xml", [1], "`reports` is a list."),
        (None, "junit.xml", "`path` is a Verification. Give a path first, and then the verification."),
        ("nowhere/junit.xml", None, "cannot be written"),
    ],
)
def test_other_arguments_are_refused(
    right: Verification, path: str | None, reports: object, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        write_junit(right if path is None else tmp_path / path, right if reports is None else reports)  # type: ignore[arg-type]
