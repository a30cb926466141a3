"""Bundles of every format so far verify: one of each kind of file, which no later version writes again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rnn_export import Stream, read_bundle, verify
from rnn_export.bundle.cases import read_cases
from rnn_export.bundle.manifest import CASES, FORMAT, MANIFEST

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = ("onnx", "torchscript")


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_bundle_verifies(kind: str) -> None:
    verification = verify(GOLDEN / kind, seed=0)
    assert verification.how == "rebuilt"
    assert verification.passed
    assert [report.weights is not None and report.weights.equal for report in verification.reports] == [4]


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_bundle_has_its_cases(kind: str) -> None:
    manifest = read_bundle(GOLDEN / kind)
    assert read_cases(GOLDEN / kind / CASES, manifest)


def test_a_golden_stream_is_fed() -> None:
    item = read_cases(GOLDEN / "onnx" / CASES, read_bundle(GOLDEN / "onnx"))[0]
    assert item.reference is not None
    outputs = Stream(GOLDEN / "onnx", sizes={"N": item.case.sizes["N"]}).run(item.inputs["x"])
    assert isinstance(outputs, dict)
    assert outputs["output"] == pytest.approx(item.reference.eager["output"], abs=1e-6)


def test_there_is_one_of_every_format() -> None:
    formats = {json.loads((folder / MANIFEST).read_text())["format"] for folder in GOLDEN.iterdir() if folder.is_dir()}
    assert formats == set(range(1, FORMAT + 1))
