"""Small bundles, and planting a fault in one's ONNX file, so that only its computation gives it away."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from conftest import SMALL
from msgspec.structs import replace
from onnx import numpy_helper
from rnn_export import export_onnx, load
from rnn_export.bundle.files import hash_file
from rnn_export.bundle.manifest import read_manifest, write_manifest

Plant = Callable[[onnx.ModelProto], None]


def write_bundle(folder: Path, name: str, *, settings: dict[str, object] | None = None, **options: object) -> Path:
    """A small built-in model, exported without proof: once, and copied from then on, but over an older bundle."""
    if folder.exists():
        return _export(folder, name, settings or {}, options)
    key = repr((name, settings, options))
    if key not in _written:
        _written[key] = _export(Path(_folder.name, str(len(_written))), name, settings or {}, options)
    return Path(shutil.copytree(_written[key], folder))


_folder = tempfile.TemporaryDirectory()
atexit.register(_folder.cleanup)
_written: dict[str, Path] = {}


def _export(folder: Path, name: str, settings: dict[str, object], options: dict[str, object]) -> Path:
    loaded = load(name, **SMALL[name], **settings, seed=3)
    export_onnx(loaded.model, loaded.signature, folder, source=loaded.source, verify=False, **options)  # type: ignore[arg-type]
    return folder


def plant(bundle: Path, fault: Plant) -> None:
    """Change the model, and the manifest so that the hashes fit."""
    model = onnx.load(bundle / "model.onnx")
    fault(model)
    onnx.save(model, bundle / "model.onnx")
    renew_hash(bundle, "model.onnx")


def renew_hash(bundle: Path, file: str) -> None:
    """Have the manifest fit a file that was changed, for its hash is not what is to catch it."""
    manifest = read_manifest(bundle)
    write_manifest(bundle, replace(manifest, files={**manifest.files, file: hash_file(bundle / file)}))


def next_weight(model: onnx.ModelProto) -> None:
    """The last of the largest tensor is one ulp larger, which no output shows."""
    tensors = [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT]
    largest = max(tensors, key=lambda tensor: np.prod(tensor.dims))
    array = numpy_helper.to_array(largest).copy()
    array.reshape(-1)[-1] = np.nextafter(array.reshape(-1)[-1], np.float32(9))
    largest.CopyFrom(numpy_helper.from_array(array, largest.name))


def wrong_bias(model: onnx.ModelProto) -> None:
    """The first bias is off by 0.1."""
    tensor = next(each for each in model.graph.initializer if "bias" in each.name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(0.1), tensor.name))
