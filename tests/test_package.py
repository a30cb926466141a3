"""The package's public names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import rnn_export

ROOT = Path(__file__).parents[1]
PUBLIC = """
BundleError CaptureError Exported InputError LoadError Loaded Manifest ParityError PlacementError Recurrent Report
RnnExportError Signature SignatureError Source Stream TensorSpec UnavailableError Verification WeightsError __version__
add_file export_onnx export_torchscript load read_bundle recur verify
"""


def test_a_function_is_not_its_module() -> None:
    code = "from rnn_export import Verification, verify; print(callable(verify))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing such a module would put it in the place of what has its name."""
    assert [name for name in rnn_export.__all__ if find_spec(f"rnn_export.{name}") is not None] == []


def test_public_names() -> None:
    assert sorted(rnn_export.__all__) == sorted(PUBLIC.split())
    assert all(getattr(rnn_export, name) for name in rnn_export.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rnn_export.nothing


def imported() -> set[str]:
    """Every package outside Python's library that a module of this one imports, wherever in it."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "exporter").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names} - {*sys.stdlib_module_names, "rnn_export"}


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.split(r"[<>=\[]", line)[0].replace("-", "_") for line in lines}
    homes = {"google": "protobuf"}
    assert {homes.get(name, name) for name in imported()} <= declared
