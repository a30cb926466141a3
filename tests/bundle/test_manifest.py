"""The manifest's JSON Schema, and what does not fit it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from planting import write_bundle
from rnn_export import BundleError
from rnn_export.bundle.manifest import MANIFEST, read_manifest, write_manifest
from rnn_export.bundle.schema import FILE, schema, text

Data = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "b", "single", stateful=True)


def test_the_shipped_schema_is_that_of_the_code() -> None:
    assert FILE.read_text() == text(), "run make schema"


def test_what_an_export_writes_fits_the_schema(bundle: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(json.loads((bundle / MANIFEST).read_text()), schema())


def change(path: str, value: object) -> Callable[[Data], None]:
    """Put the value at a path such as `inputs/x/dtype`."""

    def changing(data: Data) -> None:
        *parents, last = path.split("/")
        for parent in parents:
            data = data[parent]
        data[last] = value

    return changing


STREAM = "artifacts/model.onnx/stream"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (change("news", 1), "unknown field `news`"),
        (change("name", ""), "$.name"),
        (change("inputs", {}), "$.inputs"),
        (change("inputs/x/dtype", "float8"), "$.inputs[...].dtype"),
        (change("inputs/x/shape", ["T", 0]), "$.inputs[...].shape[1]"),
        (change("inputs/x/shape", ["T N"]), "$.inputs[...].shape[0]"),
        (change("inputs/x/range", [3]), "$.inputs[...].range"),
        (change("inputs/x/news", 1), "unknown field `news`"),
        (change("outputs", {}), "$.outputs"),
        (change("source/kind", "url"), "$.source.kind"),
        (change("source/precision", "int8"), "$.source.precision"),
        (change("weights_sha256", "0"), "$.weights_sha256"),
        (change("artifacts", {}), "$.artifacts"),
        (change("artifacts/model.onnx/news", 1), "unknown field `news`"),
        (change("artifacts/model.onnx/bounds", {"T": {"about": 3}}), "$.artifacts[...].bounds"),
        (change("artifacts/model.onnx/parity", {"passed": True}), "no `runtime`"),
        (change("artifacts/model.onnx/limits", {"ordinary-T7-N5": {"output": 1}}), "unknown field `limits`"),
        (change("artifacts/model.onnx/precision", {"weights": "int8", "bound": 0, "error": None}), "bound"),
        (change("artifacts/model.onnx/lowering/target", "tpu"), "$.artifacts[...].lowering.target"),
        (change("artifacts/model.onnx/lowering/forms", {"gru": "loop"}), "$.artifacts[...].lowering.forms"),
        (change("artifacts/model.onnx/lowering/forms", {"cnn": "scan"}), "$.artifacts[...].lowering.forms"),
        (change(f"{STREAM}/states", {}), "$.artifacts[...].stream.states"),
        (change(f"{STREAM}/states/rnn.h0/shape", ["6*"]), "stream.states[...].shape[0]"),
        (change(f"{STREAM}/states/rnn.h0/reset", "zero"), "stream.states[...].reset"),
        (change("files", {"../x": {"bytes": 1, "sha256": "0" * 64}}), "`key` in `$.files`"),
        (change("files/model.onnx/bytes", -1), "$.files[...].bytes"),
        (change("cases", [{"name": "a"}]), "$.cases[0]"),
        (change("versions", {"torch": 2}), "$.versions[...]"),
        (change("artifacts/model.onnx/runtime", "program:./evil"), "$.artifacts[...].runtime"),
        (lambda data: data.pop("files"), "`files`"),
        (lambda data: data["artifacts"]["model.onnx"].pop("stream"), "`stream`"),
    ],
)
def test_what_does_not_fit_is_refused_here_and_by_the_schema(
    bundle: Path, tmp_path: Path, spoil: Callable[[Data], None], said: str
) -> None:
    data = json.loads((bundle / MANIFEST).read_text())
    spoil(data)
    (tmp_path / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"is not a manifest \(") as error:
        read_manifest(tmp_path)
    assert said in str(error.value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema())


def test_a_manifest_that_contradicts_itself_is_refused(bundle: Path, tmp_path: Path) -> None:
    data = json.loads((bundle / MANIFEST).read_text())
    data["inputs"]["x"].update(dtype="int64", range=[3, 1])
    (tmp_path / MANIFEST).write_text(json.dumps(data))
    with pytest.raises(BundleError, match="is not a manifest .The value range 3..1 is empty"):
        read_manifest(tmp_path)


def test_what_is_read_is_written_again(bundle: Path, tmp_path: Path) -> None:
    write_manifest(tmp_path, read_manifest(bundle))
    assert (tmp_path / MANIFEST).read_text() == (bundle / MANIFEST).read_text()
