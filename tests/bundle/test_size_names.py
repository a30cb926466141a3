"""What the names of sizes in a README stand for."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from rnn_export import Signature, read_bundle
from rnn_export.bundle.manifest import Manifest
from rnn_export.bundle.size_names import size_names

GOLDEN = Path(__file__).parents[1] / "golden"


def manifest(inputs: dict[str, str], bounds: dict[str, dict[str, int]], kind: str = "format3-plain") -> Manifest:
    found = read_bundle(GOLDEN / kind)
    artifact = replace(found.artifacts["model.onnx"], bounds=bounds)
    return replace(found, inputs=Signature(inputs).inputs, artifacts={"model.onnx": artifact})


def test_names_that_signatures_have() -> None:
    names = size_names(manifest({"x": "float32[B, T, 3]", "y": "float32[N, K]"}, {}))
    assert names == {
        "B": "sequences at once, 1 or more",
        "T": "time steps, 1 or more",
        "N": "sequences at once, 1 or more",
        "K": "1 or more",
    }


def test_bounds() -> None:
    names = size_names(manifest({"x": "float32[T, K]"}, {"T": {"min": 5}, "K": {"max": 9}}))
    assert names == {"T": "time steps, 5 or more", "K": "1 to 9"}


def test_files_that_differ() -> None:
    found = manifest({"x": "float32[T]"}, {"T": {"min": 5}})
    artifact = replace(found.artifacts["model.onnx"], bounds={})
    names = size_names(replace(found, artifacts={**found.artifacts, "model.pt": artifact}))
    assert names == {"T": "time steps, 5 or more in `model.onnx`, 1 or more in `model.pt`"}


def test_what_a_stream_is_cut_along_is_time() -> None:
    found = manifest({"x": "float32[N, frames]"}, {}, "format3-stateful")
    (artifact,) = found.artifacts.values()
    assert artifact.stream is not None
    stream = replace(artifact.stream, time="frames")
    names = size_names(replace(found, artifacts={"model.onnx": replace(artifact, stream=stream)}))
    assert names["frames"] == "time steps, 1 or more"
