"""Run an ONNX file in ONNX Runtime on one execution provider, and never silently on another."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import onnxruntime as ort

from ..errors import BundleError, InputError, PlacementError, UnavailableError, first_line
from ..spec.added_metadata import PREFIX
from .nan import nan_kernel_on
from .onnx_check import read_checked
from .placement import Placement, Profile
from .provider_table import Provider
from .providers import built_in, find_provider, plugin_device
from .session import Array, ProviderOptions

_FATAL = 4
_PLACE = re.compile(r"^\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z])")


class OnnxRuntimeSession:
    """A session on an execution provider; its first `run` runs twice, to record where the nodes of the second ran."""

    def __init__(self, artifact: Path, provider: Provider, provider_options: ProviderOptions) -> None:
        nan = nan_kernel_on(read_checked(artifact).graph, provider.full_name)
        options = _session_options(provider_options)
        self._profile: Profile | None = Profile(options)
        self._session = _start(artifact, provider, provider_options, options)
        self._run_options = ort.RunOptions()
        self._run_options.log_severity_level = _FATAL
        self._artifact = artifact
        self._provider = provider
        self._placement = Placement(provider.full_name, ort.__version__)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._hides_nan, self._spreads_nan = nan
        self._may_be_empty = _growing(self._session)

    @property
    def hides_nan(self) -> str:
        return self._hides_nan

    @property
    def spreads_nan(self) -> bool:
        return self._spreads_nan

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs by name.

        Raises:
            InputError: an input is empty.
        """
        _check_filled({name: array for name, array in inputs.items() if name not in self._may_be_empty})
        if self._profile is not None:
            self._run(inputs)  # a session's first run is slower than later ones
        outputs = self._run(inputs)
        if self._profile is not None:
            nodes = self._profile.end(self._session)
            self._placement = Placement(self._provider.full_name, ort.__version__, nodes)
            self._profile = None
        return outputs

    def _run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            arrays = self._run_bound(inputs) if self._provider.device else self._run_copied(inputs)
        except Exception as error:  # onnxruntime's exceptions have no common base
            if "does not support double" in str(error):
                raise _no_kernel(self._artifact, str(error).partition("Status Message: ")[2].rstrip(". ")) from error
            raise
        return dict(zip(self._outputs, arrays, strict=True))

    def _run_copied(self, inputs: Mapping[str, Array]) -> list[Array]:
        arrays: list[Array] = self._session.run(self._outputs, dict(inputs), self._run_options)
        return arrays

    def _run_bound(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run with inputs and outputs in the device's memory, as a program does that keeps them there."""
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


def _growing(session: ort.InferenceSession) -> frozenset[str]:
    """The states that grow with every call: they begin empty, and no GRU or LSTM has them for its sequence."""
    grows = session.get_modelmeta().custom_metadata_map.get(f"{PREFIX}.grows", "")
    return frozenset(each.name for each in session.get_inputs() if grows and grows in each.shape)


def _check_filled(inputs: Mapping[str, Array]) -> None:
    """Refuse what ends the process: ONNX Runtime's GRU without a step or sequence, and its LSTM without a sequence."""
    for name, array in inputs.items():
        if not array.size:
            raise InputError(
                f"Input '{name}' is {array.dtype}[{', '.join(map(str, array.shape))}], which is empty. "
                "Give at least one sequence of one step: ONNX Runtime would end the process."
            )


def open_onnxruntime(name: str, artifact: Path, provider_options: ProviderOptions) -> OnnxRuntimeSession:
    """Open an ONNX file on the execution provider of that name, such as `cpu` or `webgpu`.

    Raises:
        InputError: the provider is the CPU's, which strict options forbid.
        UnavailableError: the provider is not installed, does not start, or has no kernel for the model.
        PlacementError: the options are strict, and a node would run on the CPU.
        BundleError: the file is not a model.
    """
    if name == "cpu" and provider_options.strict:
        raise InputError("onnxruntime:cpu runs on the CPU, which `strict=True` forbids. Leave out one of them.")
    return OnnxRuntimeSession(artifact, find_provider(name, provider_options), provider_options)


def open_onnxruntime_cpu(artifact: Path) -> OnnxRuntimeSession:
    """Open an ONNX file on the CPU provider."""
    return open_onnxruntime("cpu", artifact, ProviderOptions())


def _preload() -> None:
    """Load the CUDA and cuDNN that pip installed, without what ONNX Runtime prints of those it does not find."""
    if hasattr(ort, "preload_dlls"):  # new in ONNX Runtime 1.21
        with redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def _session_options(provider_options: ProviderOptions) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # Errors are raised as well; the log would repeat them for every case.
    options.log_severity_level = _FATAL
    # Threads that spin while they wait would starve PyTorch's, which take turns with them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.intra_op_num_threads = provider_options.threads
    if provider_options.strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _start(
    artifact: Path, provider: Provider, provider_options: ProviderOptions, options: ort.SessionOptions
) -> ort.InferenceSession:
    """A session that has the provider: ONNX Runtime drops one that does not start, and runs on the CPU."""
    given = {**provider.options, **provider_options.options}
    if provider.device == "cuda":
        _preload()
    how: dict[str, Any] = {}
    if provider_options.library is None and provider.full_name in built_in():
        how = {"providers": [(provider.full_name, given)]}
    else:
        options.add_provider_for_devices([plugin_device(provider)], given)
    try:
        session = ort.InferenceSession(artifact, options, enable_fallback=0, **how)
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise _not_started(artifact, provider, str(error)) from error
    if provider.full_name not in session.get_providers():
        raise UnavailableError(
            f"{provider.full_name} did not start, and ONNX Runtime would have run the model on the CPU. "
            f"It needs {provider.needs or 'its device'}; `rnn-export doctor` says what is missing here."
        )
    return session


def _not_started(artifact: Path, provider: Provider, message: str) -> Exception:
    if "fallback to CPU EP has been explicitly disabled" in message:
        return PlacementError(
            f"{artifact.name} has nodes that would run on the CPU, which `strict=True` forbids. "
            "Leave out `strict` to have them listed, or export for another target or with another lowering."
        )
    if "NOT_IMPLEMENTED" in message:
        return _no_kernel(artifact, _not_implemented(message))
    if provider.full_name != "CPUExecutionProvider" and "Load model from" not in message:
        return UnavailableError(
            f"{provider.full_name} does not start ({_reason(message)}). It needs {provider.needs or 'its device'}."
        )
    return BundleError(f"ONNX Runtime cannot load {artifact} ({_reason(message)}). Export it again.")


def _reason(message: str) -> str:
    """An error without the place in ONNX Runtime's source that it begins with."""
    line = first_line(RuntimeError(message)).rpartition(" was false. ")[2]
    return _PLACE.sub("", line).rstrip(". ")


def _no_kernel(artifact: Path, what: str) -> UnavailableError:
    return UnavailableError(
        f"ONNX Runtime has no CPU kernel for {artifact.name} ({what}). "
        "Export a float32 model, or leave out the verification to write it for another runtime."
    )


def _not_implemented(text: str) -> str:
    """The part of the message that names the operator."""
    return text.partition("for ")[2].partition("node")[0].strip() or first_line(RuntimeError(text))
