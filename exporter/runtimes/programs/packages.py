"""Runtimes that are Python packages, each run by a program here in its own process, which imports no PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType


@dataclass(frozen=True)
class Package:
    """A Python package that runs models, and the module here that is its program."""

    name: str
    module: str

    @property
    def version(self) -> str:
        """Empty where the package is not installed."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return ""

    @property
    def get(self) -> str:
        """The command that installs it."""
        return f"pip install {self.name}"

    @property
    def command(self) -> list[str]:
        # -P keeps modules of the current folder from shadowing the packages.
        return [sys.executable, "-P", "-m", f"{__package__}.{self.module}"]


PACKAGES: Mapping[str, Package] = MappingProxyType(
    {
        "onnx.reference": Package("onnx", "onnx_reference"),
        "openvino": Package("openvino", "openvino"),
        "tract": Package("tract", "tract"),
    }
)
