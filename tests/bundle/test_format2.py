"""What format 2 of the manifest brought: limits, and outputs spelled in the order in which their elements lie."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL
from planting import write_bundle
from rnn_export import BundleError, Signature, add_file, export_onnx, export_torchscript, load, read_bundle
from rnn_export.bundle.cases import read_cases
from rnn_export.bundle.manifest import CASES, MANIFEST, as_format2, read_manifest
from rnn_export.publish.copy_bundle import copy_bundle
from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("options", [{}, {"quantize": "int8", "max_error": 0.5}, {"precision": "float16"}])
def test_limits_are_those_of_the_parity_report(options: dict[str, Any], tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "b", **options)
    (artifact,) = read_bundle(tmp_path / "b").artifacts.values()
    assert exported.report is not None
    judged = {
        result.case.name: {each.output: each.limit for each in result.outputs} for result in exported.report.cases
    }
    assert len(artifact.limits) > 2
    assert artifact.limits == {name: judged[name] for name in artifact.limits}


def test_integers_have_no_room(tmp_path: Path) -> None:
    class Likeliest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.rnn(x)[0].argmax(-1)

    export_onnx(Likeliest(), Signature({"x": "float32[T, N, 3]"}), tmp_path / "b", verify=False)
    (artifact,) = read_bundle(tmp_path / "b").artifacts.values()
    assert {limit for limits in artifact.limits.values() for limit in limits.values()} == {0.0}


def test_a_kept_file_gets_the_limits_of_the_new_cases(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", "single")
    loaded = load("single", **SMALL["single"], seed=3)
    export_torchscript(loaded.model, loaded.signature, tmp_path / "b", source=loaded.source, verify=False, seed=1)
    manifest = read_bundle(tmp_path / "b")
    assert [*manifest.artifacts] == ["model.onnx", "model.pt"]
    assert manifest.artifacts["model.onnx"].limits == manifest.artifacts["model.pt"].limits


def test_without_cases_there_are_no_limits(tmp_path: Path) -> None:
    copy_bundle(write_bundle(tmp_path / "b", "single"), tmp_path / "ship", without=["cases"])
    (artifact,) = read_bundle(tmp_path / "ship").artifacts.values()
    assert artifact.limits == {}


class Flat(nn.Module):
    """Shapes: x float32[T, N, 3] to float32[T*N, 2], or to float32[N*T, 2], where sequences come first."""

    def __init__(self, sequences_first: bool) -> None:
        super().__init__()
        self.sequences_first = sequences_first
        self.rnn = nn.GRU(3, 4)
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.rnn(x)[0]
        return self.linear((y.transpose(0, 1) if self.sequences_first else y).reshape(-1, 4))


def flat(folder: Path, sequences_first: bool) -> Path:
    torch.manual_seed(0)
    signature = Signature({"x": "float32[T, N, 3]"}, ["y"])
    return export_onnx(Flat(sequences_first), signature, folder, stateful=True, verify=False).folder


@pytest.mark.parametrize(("sequences_first", "spelled"), [(False, "float32[T*N, 2]"), (True, "float32[N*T, 2]")])
def test_outputs_are_spelled_as_their_elements_lie(sequences_first: bool, spelled: str, tmp_path: Path) -> None:
    bundle = flat(tmp_path / "b", sequences_first)
    assert read_bundle(bundle).outputs == {"y": spelled}
    torch.manual_seed(0)
    signature = Signature({"x": "float32[T, N, 3]"}, ["y"])
    export_torchscript(Flat(sequences_first), signature, bundle, verify=False)
    manifest = read_bundle(bundle)
    assert [*manifest.artifacts] == ["model.onnx", "model.pt"]
    assert manifest.outputs == {"y": spelled}


def in_format1(bundle: Path) -> None:
    """Write the bundle's manifest as format 1 had it."""
    data = read_manifest(bundle).to_json()
    del data["sha256"]
    data["format"] = 1
    data["typical"] = data.pop("baseline")
    data["outputs"] = {name: text.replace("N*T", "T*N") for name, text in data["outputs"].items()}
    for case in data["cases"]:
        case["own_error"] = case.pop("eager_error")
    for artifact in data["artifacts"].values():
        del artifact["limits"]
    (bundle / MANIFEST).write_text(json.dumps({**data, "sha256": digest(data)}))


def digest(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


@pytest.mark.parametrize("sequences_first", [False, True])
def test_the_order_is_found_out_when_a_bundle_of_format_1_is_written_again(
    sequences_first: bool, tmp_path: Path
) -> None:
    bundle = flat(tmp_path / "b", sequences_first)
    newest = read_bundle(bundle)
    in_format1(bundle)
    assert read_bundle(bundle).outputs == {"y": "float32[T*N, 2]"}
    copy_bundle(bundle, tmp_path / "ship")
    shipped = read_bundle(tmp_path / "ship")
    assert (shipped.outputs, shipped.artifacts) == (newest.outputs, newest.artifacts)
    add_file(bundle, "mine.json", b"{}")
    added = read_bundle(bundle)
    assert (added.outputs, added.artifacts) == (newest.outputs, newest.artifacts)


def test_an_older_verdict_has_its_new_name() -> None:
    parity = {"passed": True, "cases": [{"verdict": "KNOWN"}, {"verdict": "PASS"}]}
    data = {"format": 1, "cases": [], "typical": {}, "artifacts": {"m": {"parity": parity}, "n": {"parity": None}}}
    converted = as_format2(data)
    assert [case["verdict"] for case in converted["artifacts"]["m"]["parity"]["cases"]] == ["EXPECTED", "PASS"]
    assert converted["artifacts"]["n"]["parity"] is None


@pytest.mark.parametrize(
    "text",
    ['{"format": 1, "sha256": ""}', '{"format": 1, "sha256": "", "cases": 3}', '{"format": 0, "sha256": ""}'],
)
def test_what_is_of_no_format_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="is not a manifest"):
        read_manifest(tmp_path)


def test_a_bundle_of_format_1_that_was_changed_is_refused(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(GOLDEN / "onnx", tmp_path / "b"))
    data = json.loads((bundle / MANIFEST).read_text())
    data["typical"]["output"]["error"] = 1.0
    (bundle / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(BundleError, match="was changed after it was written"):
        read_manifest(bundle)


def test_the_cases_of_format_1_are_read() -> None:
    (first, _) = read_cases(GOLDEN / "onnx" / CASES, read_bundle(GOLDEN / "onnx"))
    assert first.reference is not None
    assert first.reference.eager_error["output"] == 2.048571310364622e-07
