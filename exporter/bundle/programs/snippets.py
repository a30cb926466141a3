"""Programs that run a bundle's model file, in each language that it is run from, as the bundle's README shows them.

They use the runtime alone, nothing of this package, and are tested as they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...spec.artifact import Artifact
from ..manifest import Manifest
from . import cpp, javascript, python
from .call import call_of


@dataclass(frozen=True)
class Snippet:
    """A program, what it is written in, and that as Markdown names it."""

    title: str
    language: str
    program: str


def runs_in_openvino(artifact: Artifact) -> bool:
    """Whether the file has the forms of layers that OpenVINO gets right; of others it takes most."""
    return artifact.lowering is not None and artifact.lowering.target in ("openvino", "portable")


def snippets_of(file: str, artifact: Artifact, manifest: Manifest) -> Sequence[Snippet]:
    """A program for each runtime that the file was exported for; each runs it once, or two chunks of a stream."""
    call = call_of(file, artifact, manifest)
    if Path(file).suffix == ".pt":
        return [
            Snippet("Python, PyTorch", "python", python.torch_program(call)),
            Snippet("C++, LibTorch", "cpp", cpp.libtorch_program(call)),
        ]
    snippets = [
        Snippet("Python, ONNX Runtime", "python", python.onnxruntime_program(call)),
        Snippet("C++, ONNX Runtime", "cpp", cpp.onnxruntime_program(call)),
        Snippet("JavaScript, ONNX Runtime", "js", javascript.onnxruntime_program(call)),
    ]
    if runs_in_openvino(artifact):
        snippets.append(Snippet("C++, OpenVINO", "cpp", cpp.openvino_program(call)))
    return snippets
