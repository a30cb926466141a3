"""What formats brought: outputs as their elements lie (2), limits by element (3); and how older ones are read."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from conftest import SMALL
from planting import write_bundle
from rnn_export import BundleError, Signature, export_onnx, export_torchscript, load, read_bundle, verify
from rnn_export.bundle.cases import read_cases
from rnn_export.bundle.manifest import CASES, MANIFEST, as_newest, read_manifest
from torch import Tensor, nn

GOLDEN = Path(__file__).parents[1] / "golden"


def limits_of(bundle: Path) -> dict[str, np.ndarray]:
    """Each limit in the cases, by its tensor's name."""
    tensors = safetensors.numpy.load_file(bundle / CASES)
    return {name: array for name, array in tensors.items() if "/limits/" in name}


@pytest.mark.parametrize("options", [{}, {"quantize": "int8", "max_error": 0.5}, {"precision": "float16"}])
def test_limits_are_those_of_the_parity_report(options: dict[str, Any], tmp_path: Path) -> None:
    loaded = load("single", **SMALL["single"])
    exported = export_onnx(loaded.model, loaded.signature, tmp_path / "b", **options)
    assert exported.report is not None
    limits = limits_of(tmp_path / "b")
    stored = {case.name for case in read_bundle(tmp_path / "b").cases}
    judged = {
        f"{result.case.name}/limits/model.onnx/{each.output}": each
        for result in exported.report.cases
        for each in result.outputs
        if result.case.name in stored
    }
    assert len(stored) > 2
    assert limits.keys() == judged.keys()
    assert {name: float(array[judged[name].index]) for name, array in limits.items()} == {
        name: each.limit for name, each in judged.items()
    }


class Filled(nn.Module):
    """Shapes: x float32[T, N, 3] to y float32[T, N, 5], the last of its units a filler, and likeliest int64[T, N]."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.rnn(x)[0]
        return torch.cat([y, torch.full_like(y[..., :1], -1e4)], -1), y.argmax(-1)


def test_fillers_have_no_room_and_integers_no_limits(tmp_path: Path) -> None:
    signature = Signature({"x": "float32[T, N, 3]"}, ["y", "likeliest"])
    export_onnx(Filled(), signature, tmp_path / "b", verify=False)
    limits = limits_of(tmp_path / "b")
    assert {name.rpartition("/")[2] for name in limits} == {"y"}
    for limit in limits.values():
        assert limit.dtype == np.float64
        assert not limit[..., 4].any()
        assert np.all(limit[..., :4] > 0)


def test_a_kept_file_gets_the_limits_of_the_new_cases(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", "single")
    before = limits_of(tmp_path / "b")
    loaded = load("single", **SMALL["single"], seed=3)
    export_torchscript(loaded.model, loaded.signature, tmp_path / "b", source=loaded.source, verify=False, seed=1)
    after = limits_of(tmp_path / "b")
    assert {name.split("/")[2] for name in after} == {"model.onnx", "model.pt"}
    for name, limit in after.items():
        assert np.array_equal(limit, after[name.replace("model.pt", "model.onnx")])
    assert not all(np.array_equal(limit, after[name]) for name, limit in before.items())


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


def edit(bundle: Path, **changes: Any) -> None:
    """Change the manifest, whatever its format, and its own hash so that it fits."""
    data = json.loads((bundle / MANIFEST).read_text())
    del data["sha256"]
    data.update(changes)
    sha256 = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    (bundle / MANIFEST).write_text(json.dumps({**data, "sha256": sha256}))


@pytest.mark.parametrize("kind", ["onnx", "torchscript", "format2-plain", "format2-stateful", "format2-int8"])
def test_an_older_bundle_whose_model_is_not_there_is_not_replayed(kind: str, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(GOLDEN / kind, tmp_path / "b"))
    edit(bundle, source=None)
    said = (
        "an older rnn-export wrote it, whose limits were too wide. Export the model again, or verify it with the model."
    )
    with pytest.raises(BundleError, match=said):
        verify(bundle)


def test_a_bundle_whose_model_is_not_there_is_replayed(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(GOLDEN / "format3-plain", tmp_path / "b"))
    edit(bundle, source=None)
    verification = verify(bundle)
    assert (verification.how, verification.passed) == ("replayed", True)


@pytest.mark.parametrize("spoil", ["none", "shape", "dtype", "negative"])
def test_limits_that_are_none_are_refused(spoil: str, tmp_path: Path) -> None:
    manifest = read_bundle(GOLDEN / "format3-plain")
    tensors = safetensors.numpy.load_file(GOLDEN / "format3-plain" / CASES)
    name = "ordinary-T7-N5/limits/model.onnx/h_n"
    limit = tensors.pop(name)
    wrong = {"shape": limit[..., :1], "dtype": limit.astype(np.float32), "negative": -limit}
    safetensors.numpy.save_file(tensors | ({name: wrong[spoil].copy()} if spoil in wrong else {}), tmp_path / CASES)
    with pytest.raises(BundleError, match=r"has no limits for 'h_n' of model\.onnx"):
        read_cases(tmp_path / CASES, manifest, "model.onnx")


def test_an_older_verdict_has_its_new_name() -> None:
    parity = {"passed": True, "cases": [{"verdict": "KNOWN"}, {"verdict": "PASS"}]}
    data = {"format": 1, "cases": [], "typical": {}, "artifacts": {"m": {"parity": parity}, "n": {"parity": None}}}
    converted = as_newest(data)
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
