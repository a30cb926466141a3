"""README.md of a bundle: what it is, how it was proved and how to run it, for someone who has the bundle alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..spec.artifact import Artifact
from ..spec.streams import State
from .manifest import CASES, MANIFEST, WEIGHTS, Manifest
from .programs.snippets import runs_in_openvino, snippets_of

README = "README.md"

_FILES = {
    "model.onnx": "the ONNX model",
    "model.onnx.data": "weights of the ONNX model, which must lie beside it",
    "model.pt": "the TorchScript model, for LibTorch",
    CASES: "a few inputs, with what PyTorch computes for them",
    WEIGHTS: "the weights under PyTorch's names, from which the model can be built again",
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
    listed = [[f"`{name}`", what] for name, what in {**_FILES, MANIFEST: "all of this, for programs"}.items()]
    held = [row for row in listed if row[0].strip("`") in {*files, MANIFEST}]
    exported = f"Exported from PyTorch {manifest.versions['torch']} by rnn-export {manifest.versions['rnn-export']}."
    inputs = [[f"`{name}`", f"`{spec}`"] for name, spec in manifest.signature.inputs.items()]
    outputs = [[f"`{name}`", f"`{spelled}`"] for name, spelled in manifest.outputs.items()]
    parts = [
        f"# {manifest.name}",
        exported,
        _table(["file", "what it is"], held),
        "## Inputs and outputs",
        _table(["input", "tensor"], inputs),
        _table(["output", "tensor"], outputs),
        "A name in brackets is a dynamic size, the same name the same size; a number is fixed.",
        *(part for name, artifact in manifest.artifacts.items() for part in _artifact(name, artifact, manifest)),
        "## Verify it again",
        *_again(manifest, files),
    ]
    return "\n\n".join(parts) + "\n"


def _artifact(name: str, artifact: Artifact, manifest: Manifest) -> Iterator[str]:
    yield f"## {name}"
    yield " ".join([_proof(artifact), *_weights(artifact)])
    if artifact.stream is not None:
        yield (
            f"It is fed in chunks along {artifact.stream.time}. It takes these states besides, and returns them; each "
            "begins with its reset value, and is then what the chunk before returned."
        )
        states = [_state_row(state) for state in artifact.stream.states]
        yield _table(["state", "returned as", "tensor", "reset"], states)
    for snippet in snippets_of(name, artifact, manifest):
        yield f"### {snippet.title}"
        yield f"```{snippet.language}\n{snippet.program}```"


def _proof(artifact: Artifact) -> str:
    parity = artifact.parity
    if parity is None:
        return "It was not verified when it was written."
    verdicts = [case["verdict"] for case in parity["cases"]]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    against = "a float64 reference" if parity["reference"] == "float64" else "PyTorch"
    return (
        f"Proved in {parity['runtime']} against {against}: {counts} of {len(verdicts)} cases, the largest error "
        f"{parity['largest_error_over_limit']:.0%} of its limit.{_equal(parity)} {MANIFEST} has them all."
    )


def _equal(parity: Mapping[str, Any]) -> str:
    weights = parity.get("weights") or {}
    if not weights.get("compared"):
        return ""
    return f" {weights['equal']} of {weights['compared']} tensors equal the model's bit for bit."


def _weights(artifact: Artifact) -> list[str]:
    precision = artifact.precision
    if precision is None:
        return []
    return [f"Its weights are {precision.weights}; outputs may be off by {precision.bound:g} of their scale for that."]


def _state_row(state: State) -> list[str]:
    reset = state.reset_text if not isinstance(state.reset, tuple) else f"{len(state.reset)} numbers, in the manifest"
    tensor = f"{state.dtype}[{', '.join(map(str, state.shape))}]"
    return [f"`{state.name}`", f"`{state.output}`", f"`{tensor}`", reset]


def _again(manifest: Manifest, files: set[str]) -> Iterator[str]:
    source = manifest.source
    needs_code = source is not None and source.kind == "file"
    if WEIGHTS in files and source is not None:
        option = f" --model {source.model}" if needs_code else ""
        yield f"    rnn-export verify BUNDLE{option}"
        yield "builds the PyTorch model again, with the weights that lie here, and compares both on fresh random cases."
    elif CASES in files:
        yield "    rnn-export verify BUNDLE"
        yield "replays the cases that lie here."
    else:
        yield "This bundle holds neither cases nor weights to verify it with; the one that it was made from does."
    clients = {
        language: command
        for name, artifact in manifest.artifacts.items()
        for language, command in CLIENTS[Path(name).suffix].items()
        if language != _OPENVINO or runs_in_openvino(artifact)
    }
    if clients and CASES in files:
        yield "Other programs of rnn-export replay the cases without Python:"
        yield _table(["in", "command"], [[language, f"`{command}`"] for language, command in clients.items()])


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [headings, ["---"] * len(headings), *rows])
