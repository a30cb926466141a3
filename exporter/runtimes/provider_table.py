"""ONNX Runtime's execution providers as they are known: what each needs, and how to get it. Imports no ONNX Runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ..errors import did_you_mean

_SUFFIX = "ExecutionProvider"
# What people call a provider that has another name.
_MEANT = {
    "gpu": "cuda",
    "nvidia": "cuda",
    "trt": "tensorrt",
    "directml": "dml",
    "rocm": "migraphx",
    "ort": "cpu",
    "onnx": "cpu",
}


@dataclass(frozen=True)
class Provider:
    """An execution provider.

    `package` is what pip installs for it, and `beside` whether that goes with any ONNX Runtime instead of being one.
    `start` is a command that gets what it needs to start. `device` is ONNX Runtime's name for the memory that inputs
    and outputs are bound in; empty for the CPU's. `options` are its defaults.
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

        The packages of ONNX Runtime hold the same module, so that one takes the place of another.
        """
        if not self.package:
            return ""
        return (
            f"pip install {self.package}"
            if self.beside
            else f"rnn-export install onnxruntime:{short_name(self.full_name)}"
        )


_GPU = "onnxruntime-gpu[cuda,cudnn]"
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
            "a GPU with a Vulkan, Metal or DirectX 12 driver, or SwiftShader (Debian's chromium has it)",
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


def did_you_mean_runtime(word: str, known: Collection[str]) -> str:
    """`" Did you mean 'onnxruntime:cuda'?"` for `cuda`, `gpu` or `onnxruntime-gpu`, else what `did_you_mean` says."""
    # "CUDAExecutionProvider" is ONNX Runtime's own name for "cuda".
    name = short_name(word.removeprefix("onnxruntime:"))
    packages = {each.package.partition("[")[0]: name for name, each in reversed([*PROVIDERS.items()])}
    meant = f"onnxruntime:{packages.get(name) or _MEANT.get(name, name)}"
    return f" Did you mean '{meant}'?" if meant in known else did_you_mean(word, known)
