"""`pipeline.json`: how the bundles of a model of several graphs fit together. Written and read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from msgspec import ValidationError, convert, to_builtins

from ..errors import BundleError
from ..spec.pipeline import Graph, Pipeline
from .files import check_file, check_listed, hash_file
from .manifest import MANIFEST, Manifest, read_manifest
from .ours import foreign_in_bundle

PIPELINE = "pipeline.json"


def write_pipeline(folder: Path, pipeline: Pipeline) -> None:
    """Write `pipeline.json` into a folder, its own hash at the end."""
    data = to_builtins(pipeline, enc_hook=str)  # PyTorch has a class of its own for its version
    content = json.dumps({**data, "sha256": _digest(data)}, indent=2) + "\n"
    (folder / PIPELINE).write_text(content, encoding="utf-8")


def read_pipeline(folder: Path) -> Pipeline:
    """Read and check `pipeline.json`.

    Raises:
        BundleError: there is none, it is malformed, of a newer format, or it was changed after it was written.
    """
    path = folder / PIPELINE
    if not path.is_file():
        raise BundleError(f"{folder} is no pipeline: it has no {PIPELINE}. Give a folder that `export_pipeline` wrote.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        sha256 = data.pop("sha256")
        pipeline = convert(data, Pipeline)
    except (ValueError, ValidationError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} describes no pipeline ({str(error)[:120]}). Export the model again.") from error
    if sha256 != _digest(data):
        raise BundleError(f"{path} was changed after it was written. Export the model again.")
    return pipeline


def read_graph(folder: Path, graph: Graph) -> tuple[Path, Manifest]:
    """The model file of a graph, and its bundle's manifest, with every hash on the way compared.

    Raises:
        BundleError: a file is not there, or not as it was written.
    """
    bundle = folder / graph.bundle
    manifest = read_manifest(bundle)
    if hash_file(bundle / MANIFEST).sha256 != graph.manifest_sha256:
        raise BundleError(f"{bundle} is not the bundle that {folder / PIPELINE} was made for. Export the model again.")
    if graph.file not in manifest.artifacts:
        raise BundleError(f"{bundle} has no {graph.file}, which {folder / PIPELINE} names. Export the model again.")
    check_listed(bundle, manifest, graph.file)
    for name in manifest.files_of(graph.file):
        check_file(bundle / name, manifest.files[name])
    return bundle / graph.file, manifest


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def foreign_in_pipeline(folder: Path) -> str:
    """Name what would be lost with the folder of a pipeline, and is not ours."""
    try:
        pipeline = read_pipeline(folder)
    except BundleError:
        return PIPELINE if (folder / PIPELINE).exists() else sorted(folder.iterdir())[0].name
    bundles = {graph.bundle for graph in pipeline.graphs.values()}
    for path in sorted(folder.iterdir()):
        if path.name in bundles and path.is_dir():
            found = foreign_in_bundle(path)
            if found:
                return f"{path.name}/{found}"
        elif path.name != PIPELINE:
            return path.name
    return ""
