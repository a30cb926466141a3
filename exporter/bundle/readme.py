"""README.md of a bundle: what is in it, how it was verified and how to run it, for someone who has only the bundle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..spec.artifact import Artifact
from .manifest import CASES, MANIFEST, README, WEIGHTS, Manifest
from .programs.call import ProgramSpec, call_of
from .programs.oldest_runtime import oldest_onnx_runtime
from .programs.printed import printed
from .programs.snippets import runs_in_openvino, snippets_of
from .size_names import size_names
from .templates import render

_FILES = {
    "model.onnx": "the ONNX model",
    "model.onnx.data": "weights of the ONNX model, which must lie beside it",
    "model.pt": "the TorchScript model, for LibTorch",
    CASES: "a few inputs, with what PyTorch computes for them",
    WEIGHTS: "the weights under PyTorch's names, from which the model can be built again",
    MANIFEST: "all of this and the limits of errors, for programs",
}

# Of a float in what programs print; int8 kernels round otherwise on another processor.
_DIGITS, _DIGITS_OF_INT8 = 4, 2

# Programs among rnn-export's sources that replay the cases, by the kind of file that they run.
CLIENTS: Mapping[str, Sequence[str]] = {
    ".onnx": ("onnxruntime (C++)", "node", "web"),
    ".pt": ("libtorch (C++)",),
}
_OPENVINO = "openvino (C++)"


def write_readme(folder: Path, manifest: Manifest) -> None:
    """Write the page about a bundle whose other files, but for the manifest, are in the folder."""
    calls = _calls(manifest)
    outcome = {name: printed(folder, call, _digits(manifest.artifacts[name])) for name, call in calls.items()}
    page = describe(manifest, {path.name for path in folder.iterdir()}, outcome)
    (folder / README).write_text(page, encoding="utf-8")


def describe(manifest: Manifest, files: set[str], outcome: Mapping[str, Sequence[str]]) -> str:
    """The page, in Markdown.

    Args:
        files: those that the bundle holds.
        outcome: the lines that the programs of each model file print.
    """
    calls = _calls(manifest)
    return render(
        "README.md.jinja",
        manifest=manifest,
        files={name: what for name, what in _FILES.items() if name in {*files, MANIFEST}},
        sizes=size_names(manifest),
        verdicts={name: _verdicts(artifact) for name, artifact in manifest.artifacts.items()},
        oldest={name: oldest_onnx_runtime(artifact) for name, artifact in manifest.artifacts.items()},
        printed=outcome,
        dtypes={name: set(call.outputs.values()) for name, call in calls.items()},
        programs={name: snippets_of(manifest.artifacts[name], call) for name, call in calls.items()},
        flattened=_is_flattened(manifest),
        clients=_clients(manifest),
    )


def _calls(manifest: Manifest) -> dict[str, ProgramSpec]:
    return {name: call_of(name, artifact, manifest) for name, artifact in manifest.artifacts.items()}


def _digits(artifact: Artifact) -> int:
    return _DIGITS if artifact.precision is None else _DIGITS_OF_INT8


def _verdicts(artifact: Artifact) -> str:
    """`18 PASS, 2 EXPECTED`."""
    cases = artifact.parity["cases"] if artifact.parity is not None else []
    return ", ".join(f"{count} {verdict}" for verdict, count in Counter(case["verdict"] for case in cases).items())


def _is_flattened(manifest: Manifest) -> bool:
    """Whether a stream's output has time and sequences in one dimension."""
    has_stream = any(artifact.stream is not None for artifact in manifest.artifacts.values())
    return has_stream and any("*" in described for described in manifest.outputs.values())


def _clients(manifest: Manifest) -> list[str]:
    """Folders of those that run the bundle's files."""
    names = [name for file in manifest.artifacts for name in CLIENTS[Path(file).suffix]]
    openvino = any(runs_in_openvino(artifact) for artifact in manifest.artifacts.values())
    return [*names, *([_OPENVINO] if openvino else [])]
