"""Programs in a process of their own as runtimes: `program:PATH`, and Python packages."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import UnavailableError
from ..onnx_file import read_onnx
from .onnxruntime import HIDES_NAN
from .operators import operator_kinds, treats_nan_otherwise
from .process import ProcessSession, ProgramError, Serving
from .programs.packages import PACKAGES
from .session import Placement


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


_ONNX = ".onnx"
_SECONDS = 60

# By the name of the runtime that a program says it is made with: kernels that treat NaN otherwise than PyTorch.
_HIDES_NAN: Mapping[str, Sequence[str]] = {
    "onnx runtime": HIDES_NAN,
    "onnxruntime": HIDES_NAN,
    "openvino": PACKAGES["openvino"].hides_nan,
}


@dataclass(frozen=True)
class About:
    """What a program says of itself: `NAME VERSION, RUNTIME VERSION, takes EXTENSION`."""

    runtime: str
    takes: str


@cache
def about(path: str) -> About:
    """Ask a program what it is.

    Raises:
        UnavailableError: there is none, or it does not answer as a client does.
    """
    command = shutil.which(path)
    if command is None:
        raise UnavailableError(f"There is no program {path}. Build it (clients/README.md says how), or give its path.")
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
            "Give a program that is called as clients/README.md says."
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
        graph = read_onnx(artifact, weights=False).graph
        outputs = [value.name for value in graph.output]
        hiding = next((kernels for name, kernels in _HIDES_NAN.items() if name in told.runtime.lower()), ())
        nan = treats_nan_otherwise(operator_kinds(graph), hiding)
    try:
        program = Serving([str(shutil.which(path))], artifact)
    except ProgramError as error:
        raise UnavailableError(
            f"{path} does not load {artifact.name}: {str(error).rstrip('.')}. Export it in a form that it takes."
        ) from error
    return ProcessSession(program, outputs, Placement("cpu", told.runtime), *nan)
