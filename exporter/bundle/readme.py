"""README.md of a bundle: what is in it, how it was verified and how to run it, for someone who has only the bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ..spec.artifact import Artifact
from .manifest import CASES, MANIFEST, README, WEIGHTS, Manifest
from .programs.snippets import runs_in_openvino, snippets_of
from .templates import render

_FILES = {
    "model.onnx": "the ONNX model",
    "model.onnx.data": "weights of the ONNX model, which must lie beside it",
    "model.pt": "the TorchScript model, for LibTorch",
    CASES: "a few inputs, with what PyTorch computes for them",
    WEIGHTS: "the weights under PyTorch's names, from which the model can be built again",
    MANIFEST: "all of this and the limits of errors, for programs",
}

_OPENVINO = "C++, OpenVINO"

# Programs of a checkout of rnn-export that replay the cases, by the kind of file that they run.
CLIENTS: Mapping[str, Mapping[str, str]] = {
    ".onnx": {
        "C++, ONNX Runtime": "build/clients/onnxruntime/rnn-export-onnxruntime --check BUNDLE",
        _OPENVINO: "build/clients/openvino/rnn-export-openvino --check BUNDLE",
        "Node": "clients/node/client.mjs --check BUNDLE",
    },
    ".pt": {"C++, LibTorch": "build/clients/libtorch/rnn-export-libtorch --check BUNDLE"},
}


def write_readme(folder: Path, manifest: Manifest) -> None:
    """Write the page about a bundle whose other files, but for the manifest, are in the folder."""
    (folder / README).write_text(describe(manifest, {path.name for path in folder.iterdir()}), encoding="utf-8")


def describe(manifest: Manifest, files: set[str]) -> str:
    """The page, in Markdown.

    Args:
        files: those that the bundle holds.
    """
    return render(
        "README.md.jinja",
        manifest=manifest,
        files={name: what for name, what in _FILES.items() if name in {*files, MANIFEST}},
        verdicts={name: _verdicts(artifact) for name, artifact in manifest.artifacts.items()},
        programs={name: snippets_of(name, artifact, manifest) for name, artifact in manifest.artifacts.items()},
        flattened=_is_flattened(manifest),
        clients=_clients(manifest),
    )


def _verdicts(artifact: Artifact) -> str:
    """`18 PASS, 2 EXPECTED`."""
    cases = artifact.parity["cases"] if artifact.parity is not None else []
    return ", ".join(f"{count} {verdict}" for verdict, count in Counter(case["verdict"] for case in cases).items())


def _is_flattened(manifest: Manifest) -> bool:
    """Whether a stream's output has time and sequences in one dimension."""
    has_stream = any(artifact.stream is not None for artifact in manifest.artifacts.values())
    return has_stream and any("*" in described for described in manifest.outputs.values())


def _clients(manifest: Manifest) -> dict[str, str]:
    """Commands by language, of those that run the bundle's files."""
    return {
        language: command
        for name, artifact in manifest.artifacts.items()
        for language, command in CLIENTS[Path(name).suffix].items()
        if language != _OPENVINO or runs_in_openvino(artifact)
    }
