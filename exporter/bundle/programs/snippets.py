"""Programs that run a model file, one for each runtime and language, as the README of its bundle shows them.

They use the runtime and nothing of this package, and are tested as they stand, built as the README says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...spec.artifact import Artifact
from ..templates import render
from .call import ProgramSpec

# The heading of each, and the name that it is saved under: `onnxruntime.py` would be imported as the package.
_PROGRAMS = {
    "onnxruntime.py": ("Python, ONNX Runtime", "run.py"),
    "onnxruntime.cpp": ("C++, ONNX Runtime", "run.cpp"),
    "onnxruntime.mjs": ("JavaScript, ONNX Runtime", "run.mjs"),
    "openvino.cpp": ("C++, OpenVINO", "run_openvino.cpp"),
    "torch.py": ("Python, PyTorch", "run_torch.py"),
    "libtorch.cpp": ("C++, LibTorch", "run_torch.cpp"),
}
_LANGUAGES = {".py": "python", ".cpp": "cpp", ".mjs": "js"}


@dataclass(frozen=True)
class Snippet:
    """A program; `title` is its heading, `language` the name that Markdown has for its language.

    `steps` is Markdown: what to install, and how to build and run it.
    """

    title: str
    language: str
    program: str
    steps: str


def runs_in_openvino(artifact: Artifact) -> bool:
    """Whether the file has the forms of layers that OpenVINO gets right; of others it takes most."""
    return artifact.lowering is not None and artifact.lowering.target in ("openvino", "portable")


def snippets_of(artifact: Artifact, call: ProgramSpec) -> Sequence[Snippet]:
    """A program for each runtime that the file was exported for; each runs it once, or two chunks of a stream."""
    names = (
        ["torch.py", "libtorch.cpp"]
        if Path(call.file).suffix == ".pt"
        else ["onnxruntime.py", "onnxruntime.cpp", "onnxruntime.mjs"]
    )
    if runs_in_openvino(artifact):
        names.append("openvino.cpp")
    return [_snippet(name, call) for name in names]


def _snippet(name: str, call: ProgramSpec) -> Snippet:
    title, file = _PROGRAMS[name]
    steps = render(f"programs/{name}.steps.jinja", call=call, file=file)
    return Snippet(title, _LANGUAGES[Path(name).suffix], program(name, call), steps)


def program(name: str, call: ProgramSpec) -> str:
    """The program of a template such as `onnxruntime.cpp`."""
    return render(f"programs/{name}.jinja", call=call)
