"""What a provider's device is called, as far as it can be learned."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

_NVIDIA = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "NvTensorRTRTXExecutionProvider")
_CPU = ("CPUExecutionProvider", "cpu")
_CPU_INFO = Path("/proc/cpuinfo")


def device_of(provider: str) -> str:
    """The device's name; empty where nothing tells."""
    if provider in _NVIDIA:
        return nvidia_device()
    if provider in _CPU:
        return _processor()
    if provider == "WebGpuExecutionProvider" and "VK_ICD_FILENAMES" in os.environ:
        return f"Vulkan driver {Path(os.environ['VK_ICD_FILENAMES']).stem}"
    return _from_plugin(provider)


def nvidia_device() -> str:
    """The first NVIDIA GPU, as its driver calls it; empty where there is none."""
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
    from .plugins import devices

    found = next((device for device in devices() if device.ep_name == provider), None)
    return "" if found is None else f"{found.device.vendor} {found.device.type.name}".strip()
