"""Run a TorchScript archive with `torch.jit.load`, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import BundleError, first_line
from ..pytorch.outputs import flatten
from ..pytorch.run import suppress_output
from .archive_check import check_loadable, check_operators
from .placement import Placement
from .session import Array


class TorchScriptSession:
    """A loaded TorchScript archive; its outputs are named by position."""

    def __init__(self, artifact: Path, outputs: tuple[str, ...]) -> None:
        self._module = read_torchscript(artifact)
        check_operators(artifact, self._module)
        self._outputs = outputs

    @property
    def hides_nan(self) -> str:
        return ""

    @property
    def spreads_nan(self) -> bool:
        return False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with suppress_output(), torch.no_grad():
            output = self._module(*[torch.from_numpy(array.copy()) for array in inputs.values()])
        arrays = [tensor.cpu().numpy() for _, tensor in flatten(output)]
        return dict(zip(self._outputs, arrays, strict=True))

    def placement(self) -> Placement:
        return Placement("cpu", torch.__version__)


def open_torchscript(artifact: Path, outputs: tuple[str, ...]) -> TorchScriptSession:
    """Open a TorchScript archive on the CPU.

    Raises:
        BundleError: it is none, or does more than compute (see `archive_check`).
    """
    return TorchScriptSession(artifact, outputs)


def read_torchscript(path: Path) -> torch.jit.ScriptModule:
    """Load a TorchScript archive on the CPU, which runs nothing in it.

    Raises:
        BundleError: there is no such file, or it is not TorchScript, or would run something.
    """
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Give the path of a model file or a bundle.")
    check_loadable(path)
    try:
        with suppress_output():
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{path} is not a TorchScript file ({first_line(error)}). Export it again.") from error
    return module
