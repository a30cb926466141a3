"""The package's public names."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
import rnn_export

PUBLIC = """
BundleError CaptureError Exported InputError InternalError LoadError Loaded Manifest ParityError PlacementError
Recurrent Report RnnExportError Signature SignatureError Source Stream TensorSpec UnavailableError Verification
WeightsError __version__ add_file export_onnx export_torchscript load read_bundle recur verify
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
