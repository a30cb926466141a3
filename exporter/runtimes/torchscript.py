"""Run a TorchScript archive with `torch.jit.load`, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from ..pytorch.archive import read_torchscript
from ..pytorch.archive_check import check_operators
from ..pytorch.outputs import flatten
from ..pytorch.run import suppress_output
from .placement import Placement
from .session import Array
from .torchscript_stream import StatesInBuffers, is_streaming


class TorchScriptSession:
    """A loaded TorchScript archive; its outputs are named by position."""

    def __init__(self, artifact: Path, outputs: tuple[str, ...]) -> None:
        self._module = read_torchscript(artifact)
        check_operators(artifact, self._module)
        self._outputs = outputs
        self._stream = StatesInBuffers(self._module, outputs) if is_streaming(self._module) else None

    @property
    def hides_nan(self) -> str:
        return ""

    @property
    def spreads_nan(self) -> bool:
        return False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._stream is not None:
            return self._stream.run(inputs)
        with suppress_output(), torch.no_grad():
            output = self._module(*[torch.from_numpy(array.copy()) for array in inputs.values()])
        arrays = [tensor.cpu().numpy() for _, tensor in flatten(output)]
        return dict(zip(self._outputs, arrays, strict=True))

    def placement(self) -> Placement:
        return Placement("cpu", torch.__version__)


def open_torchscript(artifact: Path, outputs: tuple[str, ...]) -> TorchScriptSession:
    """Open a TorchScript archive on the CPU.

    Raises:
        BundleError: it is none, or does more than compute (see `pytorch/archive_check.py`).
    """
    return TorchScriptSession(artifact, outputs)
