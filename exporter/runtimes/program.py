"""Open a model file in a program: one given as `program:PATH`, or that of a Python package."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import UnavailableError
from ..version import REPOSITORY
from .nan import HIDES_NAN, nan_kernel
from .onnx_check import read_checked
from .placement import Placement
from .process import ProcessSession, ProgramError, Serving
from .programs.packages import PACKAGES


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
    graph = read_checked(artifact).graph
    try:
        program = Serving(package.command, artifact)
    except ProgramError as error:
        raise UnavailableError(
            f"{runtime} {version} does not load {artifact.name}: {str(error).rstrip('.')}. "
            f"Export it in a form that it takes: see {REPOSITORY}/docs/how-to/gpu.md"
        ) from error
    outputs = [value.name for value in graph.output]
    return ProcessSession(program, outputs, Placement("cpu", version), *nan_kernel(graph, HIDES_NAN[runtime]))


_CLIENTS = f"{REPOSITORY}/clients/README.md"
_ONNX = ".onnx"
_SECONDS = 60

# The runtime in `HIDES_NAN`, by the name that a program says it is made with.
_MADE_WITH = {"onnx runtime": "onnxruntime", "onnxruntime": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True)
class About:
    """A program's own description: the runtime it is made with, and the extension of the files it takes."""

    runtime: str
    takes: str


@cache
def about(path: str) -> About:
    """Ask a program for its description: `NAME VERSION, RUNTIME VERSION, takes EXTENSION`.

    Raises:
        UnavailableError: there is no such program, or its answer is another.
    """
    command = shutil.which(path)
    if command is None:
        raise UnavailableError(f"There is no program {path}. Give its path, or build it as this says: {_CLIENTS}")
    try:
        ended = subprocess.run(
            [command, "--version"], capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"{path} --version does not end within {_SECONDS} seconds. Run it to see why."
        ) from error
    except OSError as error:
        raise UnavailableError(f"{path} does not start ({error.strerror}). Run it by itself to see why.") from error
    _, *parts = ended.stdout.strip().split(", ")
    if ended.returncode or len(parts) != 2 or not parts[1].startswith("takes ."):
        raise UnavailableError(
            f"{path} --version does not say what it is and takes. "
            f"Give a program that is called as this says: {_CLIENTS}"
        )
    return About(parts[0], parts[1].removeprefix("takes "))


def open_program(path: str, artifact: Path, outputs: Sequence[str]) -> ProcessSession:
    """Open a model file in a program.

    Raises:
        UnavailableError: there is no such program, or it does not load the model.
        BundleError: the file is not a model.
    """
    told = about(path)
    nan = ("", False)
    if told.takes == _ONNX:
        graph = read_checked(artifact).graph
        outputs = [value.name for value in graph.output]
        hiding = next((HIDES_NAN[known] for name, known in _MADE_WITH.items() if name in told.runtime.lower()), ())
        nan = nan_kernel(graph, hiding)
    try:
        program = Serving([str(shutil.which(path))], artifact)
    except ProgramError as error:
        raise UnavailableError(
            f"{path} does not load {artifact.name}: {str(error).rstrip('.')}. Export it in a form that it takes."
        ) from error
    return ProcessSession(program, outputs, Placement("cpu", told.runtime), *nan)
