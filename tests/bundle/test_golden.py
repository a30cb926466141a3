"""Bundles of every format so far: one of each kind of file, which no later version writes again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from rnn_export import BundleError, Stream, add_file, export_torchscript, load, read_bundle, verify
from rnn_export.bundle.cases import read_cases
from rnn_export.bundle.manifest import CASES, FORMAT, MANIFEST
from rnn_export.publish.copy_bundle import copy_bundle
from rnn_export.spec.artifact import Artifact

GOLDEN = Path(__file__).parents[1] / "golden"
OLDER = ("onnx", "torchscript", "format2-plain", "format2-stateful", "format2-int8")
NEWEST = ("format3-plain", "format3-stateful", "format3-int8")
KINDS = (*OLDER, *NEWEST)
STREAMS = ("onnx", "format2-stateful", "format3-stateful")


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_bundle_verifies(kind: str) -> None:
    verification = verify(GOLDEN / kind, seed=0)
    assert verification.how == "rebuilt"
    assert verification.passed
    equal = 2 if kind.endswith("int8") else 4
    assert [report.weights is not None and report.weights.equal for report in verification.reports] == [equal]


@pytest.mark.parametrize("kind", NEWEST)
def test_a_golden_bundle_is_written_in_the_newest_format(kind: str, tmp_path: Path) -> None:
    before, after = read_bundle(GOLDEN / kind), read_bundle(copy_bundle(GOLDEN / kind, tmp_path / "new").folder)
    assert json.loads((tmp_path / "new" / MANIFEST).read_text())["format"] == FORMAT
    assert replace(after, files=before.files) == before
    assert (tmp_path / "new" / CASES).read_bytes() == (GOLDEN / kind / CASES).read_bytes()


@pytest.mark.parametrize("kind", OLDER)
def test_an_older_bundle_is_not_written_anew(kind: str, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(GOLDEN / kind, tmp_path / "old"))
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    number = 2 if kind.startswith("format2") else 1
    said = f"old is of format {number}, whose limits were too wide to be kept. Export the model again."
    with pytest.raises(BundleError, match=said):
        copy_bundle(bundle, tmp_path / "new")
    with pytest.raises(BundleError, match=said):
        add_file(bundle, "mine.json", b"{}")
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert [*tmp_path.iterdir()] == [bundle]


def test_what_an_export_keeps_of_an_older_bundle_gets_limits(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(GOLDEN / "onnx", tmp_path / "b"))
    loaded = load("single", cell="gru", input_size=2, hidden_size=2)
    export_torchscript(loaded.model, loaded.signature, bundle, source=loaded.source, verify=False)
    manifest = read_bundle(bundle)
    assert [*manifest.artifacts] == ["model.onnx", "model.pt"]
    for artifact in manifest.artifacts:
        assert all(item.tolerances for item in read_cases(bundle / CASES, manifest, artifact))


@pytest.mark.parametrize("kind", KINDS)
def test_a_golden_bundle_has_its_cases(kind: str) -> None:
    manifest = read_bundle(GOLDEN / kind)
    cases = read_cases(GOLDEN / kind / CASES, manifest)
    assert [item.case.name for item in cases] == [case.name for case in manifest.cases]
    assert len(cases) >= 2


@pytest.mark.parametrize("kind", OLDER)
def test_an_older_bundle_has_no_limits(kind: str) -> None:
    manifest = read_bundle(GOLDEN / kind)
    (file,) = manifest.artifacts
    with pytest.raises(BundleError, match=f"has no limits for 'output' of {file}: an older rnn-export wrote it"):
        read_cases(GOLDEN / kind / CASES, manifest, file)


@pytest.mark.parametrize("kind", NEWEST)
def test_a_golden_bundle_has_limits(kind: str) -> None:
    """As tight as PyTorch's own errors, or as wide as what the weights may cost."""
    manifest = read_bundle(GOLDEN / kind)
    ((file, artifact),) = manifest.artifacts.items()
    for item in read_cases(GOLDEN / kind / CASES, manifest, file):
        assert item.reference is not None
        assert item.tolerances.keys() == item.reference.eager.keys()
        for tolerance in item.tolerances.values():
            assert np.all(tolerance.limit > 0)
            assert np.all((tolerance.limit < 1e-5) != is_int8(artifact))


def is_int8(artifact: Artifact) -> bool:
    return artifact.precision is not None and artifact.precision.weights == "int8"


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
