"""Programs that run a model file, one for each runtime and language, as the README of its bundle shows them.

They use the runtime and nothing of this package, and are tested as they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...spec.artifact import Artifact
from ..manifest import Manifest
from ..templates import render
from .call import ProgramSpec, call_of

_TITLES = {
    "onnxruntime.py": "Python, ONNX Runtime",
    "onnxruntime.cpp": "C++, ONNX Runtime",
    "onnxruntime.mjs": "JavaScript, ONNX Runtime",
    "openvino.cpp": "C++, OpenVINO",
    "torch.py": "Python, PyTorch",
    "libtorch.cpp": "C++, LibTorch",
}
_LANGUAGES = {".py": "python", ".cpp": "cpp", ".mjs": "js"}


@dataclass(frozen=True)
class Snippet:
    """A program; `title` is its heading, `language` the name that Markdown has for its language."""

    title: str
    language: str
    program: str


def runs_in_openvino(artifact: Artifact) -> bool:
    """Whether the file has the forms of layers that OpenVINO gets right; of others it takes most."""
    return artifact.lowering is not None and artifact.lowering.target in ("openvino", "portable")


def snippets_of(file: str, artifact: Artifact, manifest: Manifest) -> Sequence[Snippet]:
    """A program for each runtime that the file was exported for; each runs it once, or two chunks of a stream."""
    call = call_of(file, artifact, manifest)
    names = (
        ["torch.py", "libtorch.cpp"]
        if Path(file).suffix == ".pt"
        else ["onnxruntime.py", "onnxruntime.cpp", "onnxruntime.mjs"]
    )
    if runs_in_openvino(artifact):
        names.append("openvino.cpp")
    return [Snippet(_TITLES[name], _LANGUAGES[Path(name).suffix], program(name, call)) for name in names]


def program(name: str, call: ProgramSpec) -> str:
    """The program of a template such as `onnxruntime.cpp`."""
    return render(f"programs/{name}.jinja", call=call)
