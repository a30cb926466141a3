"""ONNX Runtime's execution providers: their names, what each needs, and the command that gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """An execution provider.

    `get` is the command that installs it, `start` one that gets what it needs to start. `device` is what ONNX Runtime
    calls the memory that inputs and outputs are bound in; empty for the CPU's. `options` are given to it unless the
    user says otherwise.
    """

    full_name: str
    get: str = ""
    needs: str = ""
    device: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    start: str = ""


def _instead(package: str) -> str:
    """The packages of ONNX Runtime hold the same module, so that one takes the place of another."""
    return f"pip uninstall -y onnxruntime && pip install {package}"


_GPU = "'onnxruntime-gpu[cuda,cudnn]'"
_NVIDIA = "an NVIDIA GPU with CUDA and cuDNN"

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "cpu": Provider("CPUExecutionProvider", "pip install onnxruntime"),
        # float32 as the reference has it: TensorFloat-32, which cuDNN may use, has the precision of float16.
        "cuda": Provider("CUDAExecutionProvider", _instead(_GPU), _NVIDIA, "cuda", {"use_tf32": "0"}),
        "tensorrt": Provider(
            "TensorrtExecutionProvider", _instead(f"{_GPU} tensorrt"), f"{_NVIDIA}, and TensorRT", "cuda"
        ),
        "nvtensorrtrtx": Provider(
            "NvTensorRTRTXExecutionProvider", "pip install onnxruntime-ep-nv-tensorrt-rtx", "an NVIDIA RTX GPU"
        ),
        "webgpu": Provider(
            "WebGpuExecutionProvider",
            _instead("onnxruntime-webgpu"),
            "a GPU with a Vulkan, Metal or DirectX 12 driver, or SwiftShader (see docs/providers.md)",
            start="apt-get install -y chromium && export VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json",
        ),
        "openvino": Provider("OpenVINOExecutionProvider", _instead("onnxruntime-openvino"), "an Intel or AMD CPU"),
        "coreml": Provider("CoreMLExecutionProvider", "pip install onnxruntime", "macOS"),
        "dml": Provider("DmlExecutionProvider", _instead("onnxruntime-directml"), "Windows with DirectX 12"),
        "qnn": Provider("QNNExecutionProvider", "pip install onnxruntime-qnn", "a Qualcomm NPU"),
        "migraphx": Provider("MIGraphXExecutionProvider", _instead("onnxruntime-migraphx"), "an AMD GPU with ROCm"),
        "cann": Provider("CANNExecutionProvider", _instead("onnxruntime-cann"), "a Huawei Ascend NPU"),
    }
)


def short_name(full_name: str) -> str:
    """What a provider is called after `onnxruntime:`."""
    return next(
        (name for name, provider in PROVIDERS.items() if provider.full_name == full_name),
        full_name.removesuffix(_SUFFIX).lower(),
    )
