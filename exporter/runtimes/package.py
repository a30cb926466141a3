"""A runtime that is a Python package, run in a process of its own."""

from __future__ import annotations

from pathlib import Path

from ..errors import UnavailableError
from ..onnx_file import read_onnx
from .operators import operator_kinds, treats_nan_otherwise
from .placement import Placement
from .process import ProcessSession, ProgramError, Serving
from .programs import PACKAGES


def open_package(runtime: str, artifact: Path) -> ProcessSession:
    """Open an ONNX file in a runtime of `PACKAGES`.

    Raises:
        UnavailableError: the package is not installed, or does not load the model.
        BundleError: the file is not an ONNX model.
    """
    package = PACKAGES[runtime]
    version = package.version
    if not version:
        raise UnavailableError(f"{runtime} is not installed. Get it with: {package.get}")
    graph = read_onnx(artifact, weights=False).graph
    try:
        program = Serving(package.command, artifact)
    except ProgramError as error:
        raise UnavailableError(
            f"{runtime} {version} does not load {artifact.name}: {str(error).rstrip('.')}. "
            "Export it in a form that it takes: see docs/providers.md."
        ) from error
    outputs = [value.name for value in graph.output]
    nan = treats_nan_otherwise(operator_kinds(graph), package.hides_nan)
    return ProcessSession(program, outputs, Placement("cpu", version), *nan)
