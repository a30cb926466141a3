"""Bundles of every format so far verify: one of each kind of file, which no later version writes again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from rnn_export import Stream, read_bundle, verify
from rnn_export.bundle.cases import read_cases
from rnn_export.bundle.manifest import CASES, FORMAT, MANIFEST
from rnn_export.publish.copy_bundle import copy_bundle

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = ("onnx", "torchscript", "format2-plain", "format2-stateful", "format2-int8")
STREAMS = ("onnx", "format2-stateful")


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_bundle_verifies(kind: str) -> None:
    verification = verify(GOLDEN / kind, seed=0)
    assert verification.how == "rebuilt"
    assert verification.passed
    equal = 2 if kind == "format2-int8" else 4
    assert [report.weights is not None and report.weights.equal for report in verification.reports] == [equal]


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_bundle_is_written_in_the_newest_format(kind: str, tmp_path: Path) -> None:
    before, after = read_bundle(GOLDEN / kind), read_bundle(copy_bundle(GOLDEN / kind, tmp_path / "new").folder)
    assert json.loads((tmp_path / "new" / MANIFEST).read_text())["format"] == FORMAT
    for name, artifact in after.artifacts.items():
        assert artifact.limits.keys() == {case.name for case in after.cases}
        assert replace(artifact, limits=before.artifacts[name].limits) == before.artifacts[name]
    assert (after.cases, after.baseline, after.versions) == (before.cases, before.baseline, before.versions)
    assert verify(tmp_path / "new", seed=0).passed


@pytest.mark.parametrize("kind", STREAMS)
def test_the_limits_of_a_bundle_are_the_same_in_every_format(kind: str, tmp_path: Path) -> None:
    """Both hold the same model."""
    copy_bundle(GOLDEN / kind, tmp_path / "new")
    (artifact,) = read_bundle(tmp_path / "new").artifacts.values()
    (golden,) = read_bundle(GOLDEN / "format2-stateful").artifacts.values()
    assert artifact.limits["ordinary-T7-N5"] == pytest.approx(golden.limits["ordinary-T7-N5"], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_bundle_has_its_cases(kind: str) -> None:
    manifest = read_bundle(GOLDEN / kind)
    assert read_cases(GOLDEN / kind / CASES, manifest)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_golden_stream_is_fed(kind: str) -> None:
    item = read_cases(GOLDEN / kind / CASES, read_bundle(GOLDEN / kind))[0]
    assert item.reference is not None
    outputs = Stream(GOLDEN / kind, sizes={"N": item.case.sizes["N"]}).run(item.inputs["x"])
    assert isinstance(outputs, dict)
    assert outputs["output"] == pytest.approx(item.reference.eager["output"], abs=1e-6)


def test_there_is_one_of_every_format() -> None:
    formats = {json.loads((folder / MANIFEST).read_text())["format"] for folder in GOLDEN.iterdir() if folder.is_dir()}
    assert formats == set(range(1, FORMAT + 1))
