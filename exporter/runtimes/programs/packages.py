"""Runtimes that are Python packages, each run by a program here, in a process of its own, which imports no PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType


@dataclass(frozen=True)
class Package:
    """A Python package that runs models, the module here that is its program, and the kernels that hide NaN.

    `hides_nan` are operators of ONNX, as `operator_kinds` calls them.
    """

    name: str
    module: str
    hides_nan: Sequence[str] = ()

    @property
    def version(self) -> str:
        """Empty where the package is not installed."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return ""

    @property
    def get(self) -> str:
        return f"pip install {self.name}"

    @property
    def command(self) -> list[str]:
        # -P keeps the modules of the current folder from standing in for the packages.
        return [sys.executable, "-P", "-m", f"{__package__}.{self.module}"]


# Kernels that treat NaN otherwise than PyTorch: found by running 34 functions with a NaN in each of twelve places, in
# onnx 1.23, OpenVINO 2026.4 and tract 0.23, and kept true by a test. Most make a number of it or pass over it; PyTorch
# makes 0 of its sign, and all of these leave it.
_PASS_OVER_NAN = ("ReduceMax", "ReduceMin", "ArgMax", "ArgMin", "TopK", "Max", "Min")
_CLAMP_NAN = ("Relu", "Clip", "HardSigmoid", "Celu", "Sign", "RNN with Relu")
_OPENVINO_HIDES = (*_CLAMP_NAN, *_PASS_OVER_NAN, "MaxPool", "Exp", "Softmax", "LogSoftmax", "ReduceLogSumExp")
_TRACT_HIDES = ("Tanh", "Sigmoid", "GRU", "LSTM", "RNN with Tanh", *_CLAMP_NAN, *_PASS_OVER_NAN)

PACKAGES: Mapping[str, Package] = MappingProxyType(
    {
        "onnx.reference": Package("onnx", "onnx_reference", ("MaxPool", "Sign")),
        "openvino": Package("openvino", "openvino", _OPENVINO_HIDES),
        "tract": Package("tract", "tract", _TRACT_HIDES),
    }
)
