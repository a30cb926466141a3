"""ONNX Runtime on one of its execution providers, and on no other without a word."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import BundleError, InputError, PlacementError, UnavailableError, did_you_mean, first_line
from ..onnx_file import read_onnx
from .operators import operator_kinds, treats_nan_otherwise
from .plugins import devices, load_installed, load_library
from .profile import Profile
from .providers import PROVIDERS, Provider, short_name
from .session import Placement, ProviderOptions

Array = NDArray[np.generic]
_FATAL = 4
_PLACE = re.compile(r"^\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z])")

# Kernels of ONNX Runtime's CPU provider that treat NaN otherwise than PyTorch: found by the parity run on 1.32, and
# kept true by a test. The recurrent ones clamp it to a number inside, the others pass over it. Its RNN with tanh, and
# what Scan and Loop bodies are made of, pass NaN on.
HIDES_NAN = ("GRU", "LSTM", "RNN with Relu", "ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "MaxPool")

# WGSL lets a driver assume that there is neither NaN nor infinity (W3C, WebGPU Shading Language, floating point
# evaluation). On SwiftShader Relu, Sigmoid, Exp, Clip, Softmax, TopK and the above hide NaN; on a GPU it may be others.
_MAY_HIDE_NAN = {"WebGpuExecutionProvider": "WebGPU"}

# Kernels of other providers, beside those above, that hide it: found by `make test-openvino-ep`.
_HIDES_NAN_THERE = {"OpenVINOExecutionProvider": ("Relu",)}


class OnnxRuntimeSession:
    """A session on an execution provider; its first run is done twice, to see which nodes the second ran where."""

    def __init__(self, artifact: Path, provider: Provider, launch: ProviderOptions) -> None:
        kinds = operator_kinds(read_onnx(artifact, weights=False).graph)
        options = _session_options(launch)
        self._profile: Profile | None = Profile(options)
        self._session = _start(artifact, provider, launch, options)
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = _FATAL
        self._artifact = artifact
        self._provider = provider
        self._placement = Placement(provider.full_name, ort.__version__)
        self._outputs = [output.name for output in self._session.get_outputs()]
        hiding = (*HIDES_NAN, *_HIDES_NAN_THERE.get(provider.full_name, ()))
        known, self._spreads_nan = treats_nan_otherwise(kinds, hiding)
        self._hides_nan = _MAY_HIDE_NAN.get(provider.full_name, known)

    @property
    def hides_nan(self) -> str:
        return self._hides_nan

    @property
    def spreads_nan(self) -> bool:
        return self._spreads_nan

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if self._profile is not None:
            self._run(inputs)  # the first run of all is slower than the others
        outputs = self._run(inputs)
        if self._profile is not None:
            nodes = self._profile.end(self._session)
            self._placement = Placement(self._provider.full_name, ort.__version__, nodes)
            self._profile = None
        return outputs

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            arrays = self._run_bound(inputs) if self._provider.device else self._run_copied(inputs)
        except Exception as error:  # onnxruntime raises classes of its own that have no common base
            if "does not support double" in str(error):
                raise _no_kernel(self._artifact, str(error).partition("Status Message: ")[2].rstrip(". ")) from error
            raise
        return dict(zip(self._outputs, arrays, strict=True))

    def _run_copied(self, inputs: Mapping[str, Array]) -> list[Array]:
        arrays: list[Array] = self._session.run(self._outputs, dict(inputs), self._run_options)
        return arrays

    def _run_bound(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The same with inputs and outputs in the device's memory, as they are in a program that keeps them there."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, self._provider.device, 0))
        for name in self._outputs:
            binding.bind_output(name, self._provider.device)
        self._session.run_with_iobinding(binding, self._run_options)
        arrays: list[Array] = binding.copy_outputs_to_cpu()
        return arrays

    def placement(self) -> Placement:
        return self._placement


def open_onnxruntime(name: str, artifact: Path, launch: ProviderOptions) -> OnnxRuntimeSession:
    """Open an ONNX file on the execution provider of that name, such as `cpu` or `webgpu`.

    Raises:
        InputError: `launch` forbids the CPU, and the CPU is what is asked for.
        UnavailableError: the provider is not there, or does not start, or has no kernel for the model.
        PlacementError: `launch` is strict, and a node would run on the CPU.
        BundleError: the file is not a model.
    """
    if name == "cpu" and launch.strict:
        raise InputError("onnxruntime:cpu runs on the CPU, which --strict forbids. Leave one of them out.")
    return OnnxRuntimeSession(artifact, find_provider(name, launch), launch)


def open_onnxruntime_cpu(artifact: Path) -> OnnxRuntimeSession:
    """Open an ONNX file on the CPU provider."""
    return open_onnxruntime("cpu", artifact, ProviderOptions())


def find_provider(name: str, launch: ProviderOptions) -> Provider:
    """The provider of that name, where a plug-in may have one that nobody has heard of.

    Raises:
        UnavailableError: there is none, or the plug-in's library cannot be loaded.
    """
    if launch.library is not None:
        load_library(launch.library, name)
    if name in PROVIDERS:
        return PROVIDERS[name]
    found = {short_name(full): full for full in [*built_in(), *(device.ep_name for device in devices())]}
    if name not in found:
        known = [f"onnxruntime:{name}" for name in sorted({*PROVIDERS, *found})]
        near = did_you_mean(f"onnxruntime:{name}", known)
        raise UnavailableError(f"There is no runtime 'onnxruntime:{name}'.{near} Choose from {', '.join(known)}.")
    return Provider(found[name])


def _preload() -> None:
    """Find the CUDA and cuDNN that pip has installed; ONNX Runtime prints what it does not find."""
    if hasattr(ort, "preload_dlls"):  # new in ONNX Runtime 1.21
        with redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _session_options(launch: ProviderOptions) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # What goes wrong is raised as well, and said once; the log would say it again for every case.
    options.log_severity_level = _FATAL
    # Threads that spin while they wait starve PyTorch's, which run in turn with these.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if launch.strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _start(
    artifact: Path, provider: Provider, launch: ProviderOptions, options: ort.SessionOptions
) -> ort.InferenceSession:
    """A session that has the provider: ONNX Runtime leaves out one that does not start, and runs on the CPU."""
    given = {**provider.options, **launch.options}
    if provider.device == "cuda":
        _preload()
    how: dict[str, Any] = {}
    if launch.library is None and provider.full_name in built_in():
        how = {"providers": [(provider.full_name, given)]}
    else:
        options.add_provider_for_devices([_device(provider)], given)
    try:
        session = ort.InferenceSession(artifact, options, enable_fallback=0, **how)
    except Exception as error:  # onnxruntime raises classes of its own that have no common base
        raise _not_started(artifact, provider, str(error)) from error
    if provider.full_name not in session.get_providers():
        raise UnavailableError(
            f"{provider.full_name} did not start, and ONNX Runtime would have run the model on the CPU. "
            f"It needs {provider.needs or 'its device'}; `rnn-export doctor` says what it lacks here."
        )
    return session


def built_in() -> list[str]:
    """The providers that the installed ONNX Runtime was built with; that of Azure calls a service and runs nothing."""
    return [name for name in ort.get_available_providers() if name != "AzureExecutionProvider"]


def _device(provider: Provider) -> Any:
    """The first device of a provider from a plug-in."""
    plugin = load_installed(provider.full_name)
    found = next((device for device in devices() if device.ep_name == provider.full_name), None)
    if found is None and plugin:
        raise UnavailableError(f"The plug-in {plugin} offers no device. {provider.full_name} needs {provider.needs}.")
    if found is None:
        remedy = f"Get it with: {provider.get}" if provider.get else "Give its plug-in with --provider-library."
        raise UnavailableError(f"ONNX Runtime {ort.__version__} has no {provider.full_name} here. {remedy}")
    return found


def _not_started(artifact: Path, provider: Provider, message: str) -> Exception:
    if "fallback to CPU EP has been explicitly disabled" in message:
        return PlacementError(
            f"{artifact.name} has nodes that would run on the CPU, which --strict forbids. "
            f"Without it, the nodes are listed; export for another --target, or with another --lowering."
        )
    if "NOT_IMPLEMENTED" in message:
        return _no_kernel(artifact, _not_implemented(message))
    if provider.full_name != "CPUExecutionProvider" and "Load model from" not in message:
        return UnavailableError(
            f"{provider.full_name} does not start ({_reason(message)}). It needs {provider.needs or 'its device'}."
        )
    return BundleError(f"ONNX Runtime cannot load {artifact} ({_reason(message)}). Export it again.")


def _reason(message: str) -> str:
    """What went wrong, without the place in ONNX Runtime's source that its own messages begin with."""
    line = first_line(RuntimeError(message)).rpartition(" was false. ")[2]
    return _PLACE.sub("", line).rstrip(". ")


def _no_kernel(artifact: Path, what: str) -> UnavailableError:
    return UnavailableError(
        f"ONNX Runtime has no CPU kernel for {artifact.name} ({what}). "
        "Export a float32 model, or write it for another runtime with --no-verify."
    )


def _not_implemented(text: str) -> str:
    """The part of the message that names the operator."""
    return text.partition("for ")[2].partition("node")[0].strip() or first_line(RuntimeError(text))
