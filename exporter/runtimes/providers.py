"""ONNX Runtime's execution providers: their names, what each needs, how to get it, and the name of its device."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """An execution provider.

    `package` is pip's name for it, and `beside` whether that goes with any ONNX Runtime instead of being one. `start`
    is a command that gets what it needs to start. `device` is ONNX Runtime's name for the memory that inputs and
    outputs are bound in; empty for the CPU's. `options` are its defaults.
    """

    full_name: str
    package: str = ""
    needs: str = ""
    device: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    start: str = ""
    beside: bool = False

    @property
    def get(self) -> str:
        """The command that installs it; empty where none is known.

        The packages of ONNX Runtime hold the same module, so one replaces another.
        """
        if not self.package:
            return ""
        others = [] if self.beside else [name for name in _installed() if name != self.package]
        uninstall = f"pip uninstall -y {' '.join(others)} && " if others else ""
        return f"{uninstall}pip install {self.package}"


def _installed() -> list[str]:
    """The installed packages that hold ONNX Runtime, whatever their names."""
    found = importlib.metadata.distributions()
    return sorted({each.name for each in found if "onnxruntime" in (each.read_text("top_level.txt") or "").split()})


_GPU = "'onnxruntime-gpu[cuda,cudnn]'"
_NVIDIA = "an NVIDIA GPU with CUDA and cuDNN"

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "cpu": Provider("CPUExecutionProvider", "onnxruntime"),
        # float32 as the reference has it: TensorFloat-32, which cuDNN may use, has the precision of float16.
        "cuda": Provider("CUDAExecutionProvider", _GPU, _NVIDIA, "cuda", {"use_tf32": "0"}),
        "tensorrt": Provider("TensorrtExecutionProvider", f"{_GPU} tensorrt", f"{_NVIDIA}, and TensorRT", "cuda"),
        "nvtensorrtrtx": Provider(
            "NvTensorRTRTXExecutionProvider", "onnxruntime-ep-nv-tensorrt-rtx", "an NVIDIA RTX GPU", beside=True
        ),
        "webgpu": Provider(
            "WebGpuExecutionProvider",
            "onnxruntime-webgpu",
            "a GPU with a Vulkan, Metal or DirectX 12 driver, or SwiftShader (see docs/providers.md)",
            start="apt-get install -y chromium && export VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json",
        ),
        "openvino": Provider("OpenVINOExecutionProvider", "onnxruntime-openvino", "an Intel or AMD CPU"),
        "coreml": Provider("CoreMLExecutionProvider", "onnxruntime", "macOS"),
        "dml": Provider("DmlExecutionProvider", "onnxruntime-directml", "Windows with DirectX 12"),
        "qnn": Provider("QNNExecutionProvider", "onnxruntime-qnn", "a Qualcomm NPU", beside=True),
        "migraphx": Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx", "an AMD GPU with ROCm"),
        "cann": Provider("CANNExecutionProvider", "onnxruntime-cann", "a Huawei Ascend NPU"),
    }
)


def short_name(full_name: str) -> str:
    """A provider's name after `onnxruntime:`."""
    return next(
        (name for name, provider in PROVIDERS.items() if provider.full_name == full_name),
        full_name.removesuffix(_SUFFIX).lower(),
    )


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
    from .installed import devices

    found = next((device for device in devices() if device.ep_name == provider), None)
    return "" if found is None else f"{found.device.vendor} {found.device.type.name}".strip()
