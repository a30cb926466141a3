"""Read a TorchScript archive on the CPU, once it is known to run nothing when it is read."""

from __future__ import annotations

from pathlib import Path

import torch

from ..errors import BundleError, LoadError, first_line
from .archive_check import check_loadable, check_operators
from .run import suppress_output

# What TorchScript archives are called; PyTorch asks for no ending.
ENDINGS = (".pt", ".jit", ".ts", ".pth", ".torchscript")


def is_archive(model: str) -> bool:
    """Whether a model is given as the path of a TorchScript archive."""
    return model.endswith(ENDINGS)


def load_archive(path: Path) -> torch.jit.ScriptModule:
    """The module in an archive that does nothing but compute; neither reading nor running it runs anything else.

    Raises:
        LoadError: there is no such file, it is not TorchScript, or does more than compute.
    """
    if not path.is_file():
        raise LoadError(f"There is no file {path}. Give the path of a TorchScript archive.")
    try:
        module = read_torchscript(path)
        check_operators(path, module)
    except BundleError as error:
        what = str(error).removesuffix(" Export it again.").removesuffix(" Export a model without it.")
        raise LoadError(
            f"{what} Give the Python module, as path/to/file.py:Factory, and weights as `weights=PATH`."
        ) from error
    return module


def read_torchscript(path: Path) -> torch.jit.ScriptModule:
    """Load a TorchScript archive on the CPU, which runs nothing in it.

    Raises:
        BundleError: there is no such file, or it is not TorchScript, or would run something.
    """
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Give the path of a model file or a bundle.")
    check_loadable(path)
    try:
        with suppress_output():
            module: torch.jit.ScriptModule = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{path} is not a TorchScript file ({first_line(error)}). Export it again.") from error
    return module
