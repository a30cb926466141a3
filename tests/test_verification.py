"""Verifying a bundle again: rebuilt from what may be trusted, replayed otherwise, from the bundle alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL
from msgspec.structs import replace
from planting import renew_hash, write_bundle
from rnn_export import (
    BundleError,
    InputError,
    LoadError,
    ParityError,
    Signature,
    WeightsError,
    export_onnx,
    load,
    replay,
    verify,
    write_fault,
    write_junit,
)
from rnn_export.bundle.manifest import read_manifest, write_manifest
from rnn_export.parity import artifact
from rnn_export.runtimes.open import open_session
from rnn_export.spec.artifact import Source
from torch import nn

PICKY = """
class Picky(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4)
    def forward(self, x):
        if not torch.compiler.is_compiling() and bool((x < 0).any()):
            raise ValueError("x must not be negative")
        return self.rnn(x)[0]
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", "classifier", settings={"cell": "gru"})


def test_the_bundle_alone_is_enough(bundle: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "under another name"
    shutil.copytree(bundle, moved)
    shutil.rmtree(bundle)
    verification = verify(moved)
    assert (verification.how, verification.passed) == ("rebuilt", True)
    assert len(verification.reports[0].cases) == 20


def test_fresh_cases_differ_and_a_seed_repeats_them(bundle: Path) -> None:
    def errors(seed: int | None) -> list[float]:
        return [result.outputs[0].error for result in verify(bundle, seed=seed).reports[0].cases]

    assert errors(1) == errors(1)
    assert errors(1) != errors(2)
    assert verify(bundle).seed != verify(bundle).seed


def test_an_artifact_of_other_weights_fails(bundle: Path, tmp_path: Path) -> None:
    other = load("classifier", **SMALL["classifier"], cell="gru", seed=4)
    export_onnx(other.model, other.signature, tmp_path / "other", source=other.source)
    shutil.copy(tmp_path / "other" / "model.onnx", bundle / "model.onnx")
    with pytest.raises(BundleError, match="is not as it was written"):
        verify(bundle)
    renew_hash(bundle, "model.onnx")
    verification = verify(bundle)
    assert not verification.passed
    assert "output 'logits' is off by" in verification.reports[0].failure


def test_a_manifest_may_not_name_code_to_run(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = tmp_path / "evil.py"
    evil.write_text("open('ran', 'w').close()")
    data = json.loads((bundle / "manifest.json").read_text())
    for kind, model in (
        ("module", "os:system"),
        ("builtin", "os:system"),
        ("file", "evil.py:run"),
        ("module", f"{evil}:run"),
        ("builtin", f"{evil}:run"),
        ("module", "evil:run"),
    ):
        manifest = read_manifest(bundle)
        source = Source(kind, model, {"command": "touch ran"}, 0)
        write_manifest(bundle, replace(manifest, source=source))
        verification = verify(bundle)
        assert verification.how == "replayed"
        assert f"building {model} would run its code" in verification.why
        assert verification.passed
    assert not (tmp_path / "ran").exists()
    assert data["source"]["kind"] == "builtin"


def test_cases_are_cut_from_the_callers_example_again(write: Callable[[str], Path], tmp_path: Path) -> None:
    spec = f"{write(PICKY)}:Picky"
    loaded = load(spec, inputs={"x": "float32[T, N, 3]"})
    example = [torch.rand(6, 4, 3)]
    export_onnx(loaded.model, loaded.signature, tmp_path / "out", example=example, source=loaded.source)
    verification = verify(tmp_path / "out", model=spec)
    assert verification.how == "rebuilt"
    assert verification.reports[0].traced == {"T": 6, "N": 4}
    assert verification.reports[0].count("REFUSED") == 0
    assert verification.passed


def test_another_model_than_the_bundles_is_refused(bundle: Path) -> None:
    with pytest.raises((WeightsError, LoadError)):
        verify(bundle, model="torch.nn:GRU")


def test_a_report_can_be_read_by_machines(bundle: Path) -> None:
    data = json.dumps([report.to_json() for report in verify(bundle).reports], allow_nan=False)
    assert json.loads(data)[0]["passed"]
    assert ParityError("message", verify(bundle).reports[0]).exit_code == 1


def test_long_sequences_need_the_model(tmp_path: Path) -> None:
    export_onnx(nn.GRU(3, 4), Signature({"x": "float32[T, N, 3]"}), tmp_path / "b", verify=False)
    with pytest.raises(InputError, match="Long cases need the model"):
        verify(tmp_path / "b", long=(1_000,))


def test_long_sequences(bundle: Path) -> None:
    verification = verify(bundle, seed=1, long=(1_000, 10_000))
    assert verification.passed
    assert [case.case.sizes for case in verification.reports[0].cases[-2:]] == [
        {"T": 1_000, "N": 1},
        {"T": 10_000, "N": 1},
    ]


def test_each_file_is_opened_once(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it fails, and the smallest case is sought."""
    opened: list[str] = []

    def counting(runtime: str, file: Path, *others: Any) -> Any:
        opened.append(file.name)
        return open_session(runtime, file, *others)

    monkeypatch.setattr(artifact, "open_session", counting)
    assert verify(bundle, seed=1).passed
    assert opened == ["model.onnx"]
    other = load("classifier", **SMALL["classifier"], cell="gru", seed=4)
    export_onnx(other.model, other.signature, tmp_path / "other", source=other.source, verify=False)
    shutil.copy(tmp_path / "other" / "model.onnx", bundle / "model.onnx")
    renew_hash(bundle, "model.onnx")
    opened.clear()
    assert len(verify(bundle, seed=1).faults) == 1
    assert opened == ["model.onnx"]


def test_a_fault_is_kept_beside_the_bundle_and_runs_again(bundle: Path, tmp_path: Path) -> None:
    other = load("classifier", **SMALL["classifier"], cell="gru", seed=4)
    export_onnx(other.model, other.signature, tmp_path / "other", source=other.source, verify=False)
    shutil.copy(tmp_path / "other" / "model.onnx", bundle / "model.onnx")
    renew_hash(bundle, "model.onnx")
    verification = verify(bundle, seed=1)
    (fault,) = verification.faults
    case, layers = write_fault(fault, bundle, layers=True)
    assert (case.name, layers.name) == ("bundle.model.onnx.case.safetensors", "bundle.model.onnx.layers.safetensors")
    assert {case.resolve().parent, layers.resolve().parent} == {tmp_path}
    failing, report = replay(bundle, case)
    assert (failing.artifact, report.passed, len(report.cases)) == ("model.onnx", False, 1)
    assert verification.to_json()["faults"] == [{"where": fault.where, "files": []}]
    write_junit(tmp_path / "junit.xml", verification.reports)
    assert (tmp_path / "junit.xml").read_text().count("<failure") == verification.reports[0].count("FAIL")
