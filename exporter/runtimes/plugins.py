"""Execution providers that come as a library of their own, which ONNX Runtime loads while it runs."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort

from ..errors import UnavailableError, first_line

_PACKAGES = "onnxruntime-ep-"


def plugin_modules() -> Iterator[Any]:
    """The modules of the installed packages that are called `onnxruntime-ep-*`.

    By their convention such a module has `get_ep_names()` and `get_library_path()`.
    """
    names = {(entry.metadata["Name"] or "").lower().replace("_", "-") for entry in importlib.metadata.distributions()}
    for name in sorted(names):
        if name.startswith(_PACKAGES):
            yield from _imported(name.replace("-", "_"))


def load_installed(provider: str) -> str:
    """Load the plug-in of an installed package that has the provider; its module's name, or none.

    Raises:
        UnavailableError: its library cannot be loaded.
    """
    for module in plugin_modules():
        if provider in module.get_ep_names():
            load_library(Path(module.get_library_path()), module.__name__)
            return str(module.__name__)
    return ""


@cache
def load_library(library: Path, name: str) -> None:
    """Load a plug-in under a name, which some take for their provider's.

    Raises:
        UnavailableError: there is no such file, or ONNX Runtime cannot load it.
    """
    if not library.is_file():
        raise UnavailableError(f"There is no file {library}. Give the path of a plug-in's library.")
    try:
        ort.register_execution_provider_library(name, str(library.resolve()))
    except Exception as error:  # onnxruntime raises classes of its own that have no common base
        raise UnavailableError(
            f"ONNX Runtime {ort.__version__} cannot load {library} ({first_line(error)}). "
            "Get the version of the plug-in that was made for it."
        ) from error


def devices() -> list[Any]:
    """What the providers offer, each device with its provider's name; those of plug-ins once they are loaded."""
    # get_ep_devices is new in ONNX Runtime 1.23.
    return list(ort.get_ep_devices()) if hasattr(ort, "get_ep_devices") else []


def _imported(name: str) -> list[Any]:
    try:
        module = importlib.import_module(name)
    except Exception:  # a package that is broken, or empty, holds no plug-in
        return []
    return [module] if hasattr(module, "get_ep_names") and hasattr(module, "get_library_path") else []
