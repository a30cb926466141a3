"""Everything that can run an artifact, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from ..errors import UnavailableError, did_you_mean
from .onnxruntime import open_onnxruntime_cpu
from .session import Session
from .torchscript import open_torchscript

__all__ = ["RUNTIMES", "Session", "open_session"]

RUNTIMES: Mapping[str, Callable[[Path, tuple[str, ...]], Session]] = MappingProxyType(
    {"onnxruntime:cpu": open_onnxruntime_cpu, "torchscript": open_torchscript}
)


def open_session(runtime: str, artifact: Path, outputs: tuple[str, ...]) -> Session:
    """Load a model file in a runtime.

    Args:
        runtime: a name in `RUNTIMES`.
        artifact: the model file.
        outputs: the outputs' names, for artifacts that hold none.

    Raises:
        UnavailableError: there is no such runtime, or it has no kernel for the model.
        BundleError: the file is not a model.
    """
    if runtime not in RUNTIMES:
        raise UnavailableError(
            f"There is no runtime '{runtime}'.{did_you_mean(runtime, RUNTIMES)} Choose from {', '.join(RUNTIMES)}."
        )
    return RUNTIMES[runtime](artifact, outputs)
