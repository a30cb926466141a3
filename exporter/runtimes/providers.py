"""ONNX Runtime's execution providers: which are installed, on which device they run, and plug-ins."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort

from ..errors import UnavailableError, first_line
from .provider_table import PROVIDERS, Provider, did_you_mean_runtime, short_name
from .session import ProviderOptions

_NVIDIA_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
_CPU_PROVIDERS = ("CPUExecutionProvider", "cpu")
_CPU_INFO = Path("/proc/cpuinfo")


def device_of(provider: str) -> str:
    """The name of a provider's device; empty where it cannot be found out."""
    if provider in _NVIDIA_PROVIDERS:
        return nvidia_device()
    if provider in _CPU_PROVIDERS:
        return _processor()
    if provider == "WebGpuExecutionProvider" and "VK_ICD_FILENAMES" in os.environ:
        return f"Vulkan driver {Path(os.environ['VK_ICD_FILENAMES']).stem}"
    return _from_plugin(provider)


def nvidia_device() -> str:
    """The driver's name of the first NVIDIA GPU; empty where there is none."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.partition("\n")[0].strip()


def _processor() -> str:
    lines = _CPU_INFO.read_text(encoding="utf-8").splitlines() if _CPU_INFO.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _from_plugin(provider: str) -> str:

    found = next((device for device in devices() if device.ep_name == provider), None)
    return "" if found is None else f"{found.device.vendor} {found.device.type.name}".strip()


_PACKAGES = "onnxruntime-ep-"


def find_provider(name: str, provider_options: ProviderOptions) -> Provider:
    """The provider of that name; a plug-in may have one that is not in `PROVIDERS`.

    Raises:
        UnavailableError: there is none, or the plug-in's library cannot be loaded.
    """
    if provider_options.library is not None:
        load_library(provider_options.library, name)
    if name in PROVIDERS:
        return PROVIDERS[name]
    found = {short_name(full): full for full in [*built_in(), *(device.ep_name for device in devices())]}
    if name not in found:
        known = [f"onnxruntime:{name}" for name in sorted({*PROVIDERS, *found})]
        near = did_you_mean_runtime(f"onnxruntime:{name}", known)
        raise UnavailableError(f"There is no runtime 'onnxruntime:{name}'.{near} Choose from {', '.join(known)}.")
    return Provider(found[name])


def built_in() -> list[str]:
    """The providers built into the installed ONNX Runtime, without Azure's, which calls a service and runs nothing."""
    return [name for name in ort.get_available_providers() if name != "AzureExecutionProvider"]


def devices() -> list[Any]:
    """The devices that providers offer, each with its provider's name; those of plug-ins once they are loaded."""
    # get_ep_devices is new in ONNX Runtime 1.23.
    return list(ort.get_ep_devices()) if hasattr(ort, "get_ep_devices") else []


def plugin_device(provider: Provider) -> Any:
    """The first device of a provider in a plug-in.

    Raises:
        UnavailableError: no plug-in has the provider, its library cannot be loaded, or it offers no device.
    """
    plugin = _load_installed(provider.full_name)
    found = next((device for device in devices() if device.ep_name == provider.full_name), None)
    if found is None and plugin:
        raise UnavailableError(f"The plug-in {plugin} offers no device. {provider.full_name} needs {provider.needs}.")
    if found is None:
        remedy = f"Get it with: {provider.get}" if provider.get else "Give the library of its plug-in."
        raise UnavailableError(f"ONNX Runtime {ort.__version__} has no {provider.full_name} here. {remedy}")
    return found


def plugin_modules() -> Iterator[Any]:
    """The modules of the installed packages named `onnxruntime-ep-*`.

    By their convention such a module has `get_ep_names()` and `get_library_path()`.
    """
    names = {(entry.metadata["Name"] or "").lower().replace("_", "-") for entry in importlib.metadata.distributions()}
    for name in sorted(names):
        if name.startswith(_PACKAGES):
            yield from _imported(name.replace("-", "_"))


def _imported(name: str) -> list[Any]:
    try:
        module = importlib.import_module(name)
    except Exception:  # a package that is broken, or empty, holds no plug-in
        return []
    return [module] if hasattr(module, "get_ep_names") and hasattr(module, "get_library_path") else []


def _load_installed(provider: str) -> str:
    """Load the plug-in of an installed package that has the provider; returns its module's name, or nothing."""
    for module in plugin_modules():
        if provider in module.get_ep_names():
            load_library(Path(module.get_library_path()), module.__name__)
            return str(module.__name__)
    return ""


@cache
def load_library(library: Path, name: str) -> None:
    """Load a plug-in under a name, which some plug-ins take for their provider's.

    Raises:
        UnavailableError: there is no such file, or ONNX Runtime cannot load it.
    """
    if not library.is_file():
        raise UnavailableError(f"There is no file {library}. Give the path of a plug-in's library.")
    try:
        ort.register_execution_provider_library(name, str(library.resolve()))
    except Exception as error:  # onnxruntime's exceptions have no common base
        raise UnavailableError(
            f"ONNX Runtime {ort.__version__} cannot load {library} ({first_line(error)}). "
            "Get the version of the plug-in that was made for it."
        ) from error
