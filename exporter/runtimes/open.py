"""Open a model file in any runtime, by the runtime's name."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError, UnavailableError
from .programs.packages import PACKAGES
from .provider_table import PROVIDERS, did_you_mean_runtime
from .session import ProviderOptions, Session

_ONNX_RUNTIME = "onnxruntime:"
_PROGRAM = "program:"
RUNTIMES: tuple[str, ...] = (*(f"{_ONNX_RUNTIME}{name}" for name in PROVIDERS), "torchscript", *PACKAGES)


def open_session(
    runtime: str, artifact: Path, outputs: tuple[str, ...], provider_options: ProviderOptions | None = None
) -> Session:
    """Load a model file in a runtime, whose package is imported only now.

    Args:
        runtime: a name in `RUNTIMES`, `onnxruntime:` and the name of another execution provider, or `program:` and the
            path of a program that is called as `clients/README.md` says.
        artifact: the model file.
        outputs: the outputs' names, for artifacts that hold none.
        provider_options: how to start an execution provider of ONNX Runtime.

    Raises:
        UnavailableError: there is no such runtime, it does not start, or it has no kernel for the model.
        PlacementError: the options are strict, and a node would run on the CPU.
        BundleError: the file is not a model.
        InputError: the runtime has no execution providers that options could be for.
    """
    provider_options = provider_options or ProviderOptions()
    if runtime.startswith(_ONNX_RUNTIME):
        from .onnxruntime import open_onnxruntime

        return open_onnxruntime(runtime.removeprefix(_ONNX_RUNTIME), artifact, provider_options)
    _check_runtime(runtime)
    if not provider_options.plain:
        raise InputError(f"{runtime} has no execution providers. Leave out the options of one.")
    if runtime.startswith(_PROGRAM):
        from .program import open_program

        return open_program(runtime.removeprefix(_PROGRAM), artifact, outputs)
    if runtime in PACKAGES:
        from .program import open_package

        return open_package(runtime, artifact)
    from .torchscript import open_torchscript

    return open_torchscript(artifact, outputs)


def _check_runtime(runtime: str) -> None:
    """Raise an `UnavailableError` unless there is a runtime of that name; an execution provider's is not enough."""
    if runtime in RUNTIMES or runtime.startswith(_PROGRAM):
        return
    near = did_you_mean_runtime(runtime, RUNTIMES)
    raise UnavailableError(f"There is no runtime '{runtime}'.{near} Choose from {', '.join(RUNTIMES)}, program:PATH.")


def runs(runtime: str, file: str) -> bool:
    """Whether a runtime takes a file of that name: TorchScript its own, a program what it says, others ONNX.

    Raises:
        UnavailableError: there is no such runtime.
    """
    if not runtime.startswith(_ONNX_RUNTIME):
        _check_runtime(runtime)
    if runtime.startswith(_PROGRAM):
        from .program import about

        return file.endswith(about(runtime.removeprefix(_PROGRAM)).takes)
    return file.endswith(".onnx") != (runtime == "torchscript")
